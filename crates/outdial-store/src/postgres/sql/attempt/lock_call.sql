SELECT 1
FROM call
WHERE seq = (SELECT a.call FROM attempt a WHERE a.seq = $1 AND a.created_at / 1000 = $2)
FOR UPDATE
