SELECT i.batch
FROM import i
JOIN batch b ON b.seq = i.batch
WHERE b.state = 'deleted'
ORDER BY i.batch
LIMIT 1
