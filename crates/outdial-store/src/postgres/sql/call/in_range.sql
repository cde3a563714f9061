-- A run may have gaps.
SELECT seq FROM call WHERE seq >= $1 AND seq < $2 ORDER BY seq LIMIT $3
