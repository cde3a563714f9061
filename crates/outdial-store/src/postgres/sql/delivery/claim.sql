-- Of each endpoint ($6 left out) the $4 that are due longest, $5 in all: this process's ($1) own
-- until $3.
WITH waiting AS (
  SELECT w.seq, first.next_at
  FROM webhook w
  CROSS JOIN LATERAL (
    SELECT next_at FROM delivery WHERE webhook = w.seq AND state = 0 ORDER BY next_at, seq LIMIT 1
  ) first
  WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL AND NOT w.seq = ANY ($6)
    AND first.next_at <= $2
  ORDER BY first.next_at, w.seq
  LIMIT $5
), due AS (
  SELECT d.seq
  FROM waiting w
  CROSS JOIN LATERAL (
    SELECT seq
    FROM delivery
    WHERE webhook = w.seq AND state = 0 AND next_at <= $2
    ORDER BY next_at, seq
    LIMIT $4
    FOR UPDATE SKIP LOCKED
  ) d
  ORDER BY w.next_at, w.seq
  LIMIT $5
)
UPDATE delivery d SET owner = $1, next_at = $3
FROM due
WHERE d.seq = due.seq AND d.state = 0 AND d.next_at <= $2
RETURNING d.seq, d.webhook
