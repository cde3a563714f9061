-- All shards of the oldest, and how many of the oldest there were.
WITH gone AS (
  DELETE FROM batch_use
  WHERE (batch, day) IN (
    SELECT DISTINCT batch, day FROM batch_use
    WHERE day < $1
    ORDER BY day, batch
    LIMIT $2)
  RETURNING batch, day
)
SELECT count(DISTINCT (batch, day)) FROM gone
