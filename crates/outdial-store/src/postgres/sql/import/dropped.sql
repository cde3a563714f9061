-- One that no chunk holds: whoever comes later finds it dropped.
SELECT b.seq
FROM batch b
WHERE b.seq IN (SELECT batch FROM import) AND b.state = 'deleted'
ORDER BY b.seq
LIMIT 1
FOR UPDATE SKIP LOCKED
