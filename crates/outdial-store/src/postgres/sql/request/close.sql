UPDATE request SET closed = TRUE, expires_at = $3, owner = NULL, lease_until = 0
WHERE seq = $1 AND created_at / 1000 = $2 AND key IS NULL
