UPDATE api_key SET expires_at = ?3
WHERE seq = ?1 AND workspace = ?2 AND (expires_at IS NULL OR expires_at > ?3)
