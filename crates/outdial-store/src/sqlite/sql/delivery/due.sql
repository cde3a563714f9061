SELECT seq FROM delivery
WHERE webhook = ?1 AND state = 0 AND next_at <= ?2
ORDER BY next_at, seq
LIMIT ?3
