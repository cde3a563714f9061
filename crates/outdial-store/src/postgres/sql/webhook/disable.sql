UPDATE webhook SET disabled_at = $3, disabled_reason = $4
WHERE seq = $1 AND created_at / 1000 = $2 AND deleted_at IS NULL AND disabled_at IS NULL
RETURNING url
