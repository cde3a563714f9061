-- What the totals and the brakes remember of a batch's pulse begins anew.
WITH zeroed AS (
  UPDATE batch_total
  SET ended = 0, failed = 0, answered = 0, short = 0, voicemail = 0, talk_ms = 0
  WHERE batch = $1
)
UPDATE batch SET brake = '{}' WHERE seq = $1
