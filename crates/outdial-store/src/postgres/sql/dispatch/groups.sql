-- The groups of pending calls of the active batches, and of one that is asked for besides ($2 and
-- $3; NULL: none) in all its lanes; a loose index scan: each step seeks the first pending call
-- behind a group.
WITH RECURSIVE asked AS (
  SELECT seq, created_at, coalesce(lane, 0) AS first_lane, coalesce(lane, 4294967295) AS last_lane
  FROM batch
  WHERE workspace = $1 AND state = 'active' AND seq IS DISTINCT FROM $2
  UNION ALL
  SELECT seq, created_at, 0, 4294967295
  FROM batch
  WHERE seq = $2 AND created_at / 1000 = $3 AND workspace = $1
), walk AS (
  SELECT q.seq, q.created_at, q.last_lane, g.*
  FROM asked q
  CROSS JOIN LATERAL (
    SELECT c.lane, c.class, c.is_retry, c.not_before
    FROM call c
    WHERE c.state = 0 AND c.batch = q.seq AND c.lane >= q.first_lane AND c.lane <= q.last_lane
    ORDER BY c.lane, c.class, c.is_retry, c.not_before, c.seq
    LIMIT 1
  ) g
  UNION ALL
  SELECT w.seq, w.created_at, w.last_lane, g.*
  FROM walk w
  CROSS JOIN LATERAL (
    SELECT c.lane, c.class, c.is_retry, c.not_before
    FROM call c
    WHERE c.state = 0 AND c.batch = w.seq
      AND (c.lane, c.class, c.is_retry) > (w.lane, w.class, w.is_retry) AND c.lane <= w.last_lane
    ORDER BY c.lane, c.class, c.is_retry, c.not_before, c.seq
    LIMIT 1
  ) g
)
SELECT seq, created_at, lane, class, is_retry, not_before FROM walk
