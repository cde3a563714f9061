SELECT a.seq, a.created_at
FROM live l
JOIN batch b ON b.seq = l.batch
JOIN attempt a ON a.seq = l.attempt
WHERE l.owner = ?1 AND b.state = 'deleted'
ORDER BY a.seq
