-- A run may have gaps.
SELECT c.seq
FROM call_run r
CROSS JOIN LATERAL (
  SELECT seq FROM call
  WHERE seq > $2 AND seq >= r.first_seq AND seq < r.first_seq + r.span
  ORDER BY seq
  LIMIT $3
) c
WHERE r.batch = $1 AND r.first_seq + r.span > $2 + 1
ORDER BY r.first_seq, c.seq
LIMIT $3
