SELECT seq
FROM batch
WHERE workspace = $1 AND state NOT IN ('deleted', 'importing')
ORDER BY seq DESC
LIMIT $2 OFFSET $3
