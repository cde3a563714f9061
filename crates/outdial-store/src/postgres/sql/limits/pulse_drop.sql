-- And what is not folded yet.
WITH dropped AS (
  DELETE FROM batch_pulse WHERE batch = $1
)
UPDATE batch_delta
SET ended = 0, failed = 0, answered = 0, short = 0, voicemail = 0, talk_ms = 0
WHERE batch = $1 AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = $1), 0)
