-- Of the batches of dispatch/batches.
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = $1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = $2 AND created_at / 1000 = $3 AND workspace = $1 AND state <> 'active'
)
SELECT u.batch, u.day, sum(u.seconds)::BIGINT, sum(u.micros)::BIGINT
FROM asked q
CROSS JOIN LATERAL (
  SELECT batch, day, seconds, micros FROM batch_use WHERE batch = q.seq AND day >= $4
  UNION ALL
  SELECT batch, day, used_s, used_micros
  FROM batch_delta
  WHERE batch = q.seq AND day >= $4 AND (used_s <> 0 OR used_micros <> 0)
    AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = q.seq), 0)
) u
GROUP BY u.batch, u.day
