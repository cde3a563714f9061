DELETE FROM batch_use
WHERE (batch, day) IN (SELECT batch, day FROM batch_use WHERE day < ?1 ORDER BY day LIMIT ?2)
