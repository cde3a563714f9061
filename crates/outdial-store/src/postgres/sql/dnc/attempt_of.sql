-- An attempt of this name at this number in this batch.
SELECT 1
FROM call c
JOIN attempt a ON a.call = c.seq
WHERE c.batch = $1 AND c.phone = $2 AND a.token = $3
LIMIT 1
