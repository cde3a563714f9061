-- Locks where it is folded to: one folds a batch at a time.
SELECT 1
FROM batch_total
WHERE shard = -1 AND batch IN (SELECT batch FROM batch_delta WHERE seq > $1 AND seq <= $2)
ORDER BY batch
FOR NO KEY UPDATE
