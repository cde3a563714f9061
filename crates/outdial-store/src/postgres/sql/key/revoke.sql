UPDATE api_key SET revoked_at = $4
WHERE seq = $1 AND created_at / 1000 = $2 AND workspace = $3 AND revoked_at IS NULL
