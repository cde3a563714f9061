SELECT b.workspace
FROM import i
JOIN batch b ON b.seq = i.batch
WHERE i.batch = $1 AND i.request = $2
