-- All shards of the oldest, and how many of the oldest there were.
WITH gone AS (
  DELETE FROM batch_pulse
  WHERE (batch, minute) IN (
    SELECT DISTINCT batch, minute FROM batch_pulse
    WHERE minute < $1
    ORDER BY minute, batch
    LIMIT $2)
  RETURNING batch, minute
)
SELECT count(DISTINCT (batch, minute)) FROM gone
