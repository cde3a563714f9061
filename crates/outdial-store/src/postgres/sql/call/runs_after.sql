SELECT first_seq, span
FROM call_run
WHERE batch = $1 AND first_seq + span > $2
ORDER BY first_seq
LIMIT $3
