SELECT a.seq, a.created_at, a.token
FROM attempt_latest l
JOIN attempt a ON a.seq = l.attempt
WHERE l.workspace = $1 AND l.owner <> $2
ORDER BY l.attempt DESC
LIMIT 1
