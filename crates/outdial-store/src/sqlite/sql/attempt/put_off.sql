UPDATE call SET not_before = ?2, wait_reason = ?3 WHERE seq = ?1
