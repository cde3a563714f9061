SELECT first_seq, count FROM call_run
WHERE batch = ?1 AND first_seq + count > ?2
ORDER BY before
LIMIT ?3
