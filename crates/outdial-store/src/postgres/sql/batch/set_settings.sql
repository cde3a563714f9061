UPDATE batch SET updated_at = $2, name = $3, settings = $4, enable_dnc = $5, expires_at = $6
WHERE seq = $1
