-- The groups of a batch's pending calls in the lanes from $2 to $3; as dispatch/groups.
WITH RECURSIVE walk AS (
  (
    SELECT lane, class, is_retry, not_before
    FROM call
    WHERE state = 0 AND batch = $1 AND lane >= $2 AND lane <= $3
    ORDER BY lane, class, is_retry, not_before, seq
    LIMIT 1
  )
  UNION ALL
  SELECT g.*
  FROM walk w
  CROSS JOIN LATERAL (
    SELECT c.lane, c.class, c.is_retry, c.not_before
    FROM call c
    WHERE c.state = 0 AND c.batch = $1
      AND (c.lane, c.class, c.is_retry) > (w.lane, w.class, w.is_retry) AND c.lane <= $3
    ORDER BY c.lane, c.class, c.is_retry, c.not_before, c.seq
    LIMIT 1
  ) g
)
SELECT lane, class, is_retry, not_before FROM walk
