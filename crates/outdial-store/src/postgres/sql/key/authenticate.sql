SELECT k.seq, k.created_at, w.seq, w.created_at, u.seq, u.created_at, k.scopes, k.last_used_at
FROM api_key k
JOIN workspace w ON w.seq = k.workspace
JOIN workspace_user u ON u.workspace = w.seq
WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)
