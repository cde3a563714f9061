SELECT count(*)
FROM batch
WHERE workspace = $1 AND state NOT IN ('deleted', 'importing')
