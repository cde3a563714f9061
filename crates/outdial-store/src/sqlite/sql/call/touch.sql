UPDATE call SET updated_at = ?2 WHERE seq = ?1
