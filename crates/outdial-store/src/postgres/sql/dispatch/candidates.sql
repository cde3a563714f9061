-- The first $8 of each group that are due at $7, behind a place in their order.
SELECT q.i, c.seq, c.created_at, c.phone, c.not_before, c.round, c.charged, c.uncharged,
  c.attempts
FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY
  AS q (batch, lane, class, is_retry, due, call, i)
CROSS JOIN LATERAL (
  SELECT *
  FROM call p
  WHERE p.state = 0 AND p.batch = q.batch AND p.lane = q.lane AND p.class = q.class
    AND p.is_retry = q.is_retry AND p.not_before <= $7 AND (p.not_before, p.seq) > (q.due, q.call)
  ORDER BY p.not_before, p.seq
  LIMIT $8
) c
ORDER BY q.i, c.not_before, c.seq
