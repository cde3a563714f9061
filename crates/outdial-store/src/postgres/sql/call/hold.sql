-- State, number and batch of a call that may be shown to this workspace; it stays so.
SELECT c.state, c.phone, c.batch
FROM call c
JOIN batch b ON b.seq = c.batch
WHERE c.seq = $1 AND c.created_at / 1000 = $2 AND b.workspace = $3
  AND b.state NOT IN ('deleted', 'importing')
FOR NO KEY UPDATE OF c
