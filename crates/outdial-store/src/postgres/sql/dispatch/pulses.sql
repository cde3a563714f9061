-- Of the batches of dispatch/batches.
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = $1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = $2 AND created_at / 1000 = $3 AND workspace = $1 AND state <> 'active'
)
SELECT u.batch, sum(u.ended)::BIGINT, sum(u.failed)::BIGINT, sum(u.answered)::BIGINT,
  sum(u.short)::BIGINT, sum(u.voicemail)::BIGINT, sum(u.talk_ms)::BIGINT
FROM asked q
JOIN batch_pulse u ON u.batch = q.seq
WHERE u.minute >= $4
GROUP BY u.batch
