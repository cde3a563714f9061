UPDATE call SET state = 1, attempts = attempts + 1, wait_reason = NULL, updated_at = ?2
WHERE seq = ?1
