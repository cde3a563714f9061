SELECT seq, created_at
FROM api_key
WHERE workspace = $1 AND replaces = $2 AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > $3)
