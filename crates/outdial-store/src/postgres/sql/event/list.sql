SELECT e.seq, e.created_at, w.seq, w.created_at, e.position, e.kind, b.seq, b.created_at, e.data
FROM event e
JOIN workspace w ON w.seq = e.workspace
LEFT JOIN batch b ON b.seq = e.batch
WHERE e.workspace = $1 AND e.position > $2
ORDER BY e.position
LIMIT $3
