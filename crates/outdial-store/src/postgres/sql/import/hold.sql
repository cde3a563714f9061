-- One that is still going on. Nobody but imports holds or changes it.
SELECT EXISTS (SELECT 1 FROM batch_number n WHERE n.batch = b.seq)
FROM batch b
WHERE b.seq = $1 AND b.state = 'importing'
FOR NO KEY UPDATE
