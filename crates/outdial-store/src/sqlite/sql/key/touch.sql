UPDATE api_key SET last_used_at = ?3
WHERE seq = ?1 AND created_at / 1000 = ?2 AND (last_used_at IS NULL OR last_used_at <= ?4)
