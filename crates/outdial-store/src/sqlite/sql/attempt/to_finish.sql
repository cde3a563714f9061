SELECT a.state, a.trunk, c.seq, c.phone, c.picked, b.seq, b.workspace, b.state = 'deleted'
FROM attempt a
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
WHERE a.seq = ?1 AND a.created_at / 1000 = ?2
