UPDATE webhook SET deleted_at = $2, secret = '', old_secret = NULL, old_secret_until = NULL
WHERE seq = $1
