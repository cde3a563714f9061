SELECT before, first_seq, count
FROM call_run
WHERE batch = ?1 AND before <= ?2
ORDER BY before DESC
LIMIT 1
