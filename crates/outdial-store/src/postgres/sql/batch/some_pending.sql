SELECT seq
FROM call
WHERE state = 0 AND batch = $1
LIMIT $2
