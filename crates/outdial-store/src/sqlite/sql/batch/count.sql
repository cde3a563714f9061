SELECT count(*), coalesce(sum(?2 IS NULL OR contains(name, ?2) OR contains(state, ?2)), 0)
FROM batch
WHERE workspace = ?1 AND state NOT IN ('deleted', 'importing')
