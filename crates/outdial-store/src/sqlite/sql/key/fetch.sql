SELECT name, scopes, revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?4), replaces
FROM api_key
WHERE seq = ?1 AND created_at / 1000 = ?2 AND workspace = ?3
