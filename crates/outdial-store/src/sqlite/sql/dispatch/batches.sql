SELECT seq, created_at, settings, lane
FROM batch
WHERE workspace = ?1 AND state = 'active'
ORDER BY seq
