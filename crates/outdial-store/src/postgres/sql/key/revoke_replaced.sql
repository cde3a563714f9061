UPDATE api_key SET revoked_at = $3
WHERE seq = $1 AND workspace = $2 AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > $3)
