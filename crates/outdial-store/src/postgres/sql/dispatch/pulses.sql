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
CROSS JOIN LATERAL (
  SELECT batch, ended, failed, answered, short, voicemail, talk_ms
  FROM batch_pulse
  WHERE batch = q.seq AND minute >= $4
  UNION ALL
  SELECT batch, ended, failed, answered, short, voicemail, talk_ms
  FROM batch_delta
  WHERE batch = q.seq AND minute >= $4
    AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = q.seq), 0)
) u
GROUP BY u.batch
