SELECT p.seq, p.created_at
FROM batch_number n
JOIN phone p ON p.seq = n.phone
WHERE n.batch = ?1
ORDER BY n.pos
