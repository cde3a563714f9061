-- The calls of runs that have gaps.
SELECT c.seq
FROM unnest($1, $2) AS r (first_seq, span)
CROSS JOIN LATERAL (
  SELECT seq FROM call WHERE seq >= r.first_seq AND seq < r.first_seq + r.span
) c
ORDER BY c.seq
