SELECT state, pause_reason, EXISTS (SELECT 1 FROM batch_number n WHERE n.batch = b.seq)
FROM batch b
WHERE b.seq = $1
