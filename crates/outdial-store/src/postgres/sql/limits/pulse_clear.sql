-- The pulse of a batch, and what the brakes remember of it, begin anew.
WITH gone AS (
  DELETE FROM batch_pulse WHERE batch = $1
), zeroed AS (
  UPDATE batch_total
  SET ended = 0, failed = 0, answered = 0, short = 0, voicemail = 0, talk_ms = 0
  WHERE batch = $1
)
UPDATE batch SET brake = '{}' WHERE seq = $1
