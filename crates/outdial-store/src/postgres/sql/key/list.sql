SELECT seq, created_at, name, hint, scopes, revoked_at
FROM api_key
WHERE workspace = $1
ORDER BY seq
