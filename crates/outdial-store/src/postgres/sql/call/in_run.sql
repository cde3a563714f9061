-- Calls of a run that has gaps.
SELECT seq
FROM call
WHERE seq >= $1 AND seq < $1 + $2
ORDER BY seq
LIMIT $3 OFFSET $4
