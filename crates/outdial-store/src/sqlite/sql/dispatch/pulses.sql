-- Of the batches of dispatch/batches.
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = ?1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = ?2 AND created_at / 1000 = ?3 AND workspace = ?1 AND state <> 'active'
)
SELECT u.batch, u.ended, u.failed, u.answered, u.short, u.voicemail, u.talk_ms
FROM asked q
CROSS JOIN batch_pulse u ON u.batch = q.seq
WHERE u.minute >= ?4
