-- Of the batches of dispatch/batches.
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = $1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = $2 AND created_at / 1000 = $3 AND workspace = $1 AND state <> 'active'
)
SELECT n.batch, n.pos, p.seq, p.created_at, p.number, p.calls_per_second, p.channels,
  p.calls_per_day, p.price
FROM asked q
JOIN batch_number n ON n.batch = q.seq
JOIN phone p ON p.seq = n.phone
ORDER BY n.batch, n.pos
