-- Of the batches of dispatch/batches.
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = $1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = $2 AND created_at / 1000 = $3 AND workspace = $1 AND state <> 'active'
)
SELECT u.batch, u.day, sum(u.seconds)::BIGINT, sum(u.micros)::BIGINT
FROM asked q
JOIN batch_use u ON u.batch = q.seq
WHERE u.day >= $4
GROUP BY u.batch, u.day
