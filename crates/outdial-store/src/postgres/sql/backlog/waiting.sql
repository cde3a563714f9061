-- Batches in which something waits, from their totals: no call is looked at, but the first pending
-- one of each group of the $1 oldest batches (a loose index scan, as dispatch/groups).
WITH RECURSIVE waiting AS (
  SELECT b.seq, b.state, t.pending, row_number() OVER (ORDER BY b.seq) AS place
  FROM batch b
  CROSS JOIN LATERAL (
    SELECT sum(pending)::BIGINT AS pending
    FROM (
      SELECT pending FROM batch_total WHERE batch = b.seq
      UNION ALL
      SELECT pending
      FROM batch_delta
      WHERE batch = b.seq
        AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = b.seq), 0)
    ) counted
  ) t
  WHERE b.state NOT IN ('completed', 'deleted', 'importing') AND t.pending > 0
), walk AS (
  SELECT q.seq, g.*
  FROM waiting q
  CROSS JOIN LATERAL (
    SELECT c.lane, c.class, c.is_retry, c.not_before
    FROM call c
    WHERE c.state = 0 AND c.batch = q.seq
    ORDER BY c.lane, c.class, c.is_retry, c.not_before, c.seq
    LIMIT 1
  ) g
  WHERE q.place <= $1
  UNION ALL
  SELECT w.seq, g.*
  FROM walk w
  CROSS JOIN LATERAL (
    SELECT c.lane, c.class, c.is_retry, c.not_before
    FROM call c
    WHERE c.state = 0 AND c.batch = w.seq
      AND (c.lane, c.class, c.is_retry) > (w.lane, w.class, w.is_retry)
    ORDER BY c.lane, c.class, c.is_retry, c.not_before, c.seq
    LIMIT 1
  ) g
), oldest AS (
  SELECT seq, min(not_before) AS due FROM walk GROUP BY seq
)
SELECT q.state, q.pending, o.due
FROM waiting q
LEFT JOIN oldest o ON o.seq = q.seq
