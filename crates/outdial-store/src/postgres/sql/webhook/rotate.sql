UPDATE webhook SET updated_at = $2, old_secret = secret, old_secret_until = $4, secret = $3
WHERE seq = $1
