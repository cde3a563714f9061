SELECT c.state, c.phone, c.batch
FROM call c
WHERE c.seq = ?1
