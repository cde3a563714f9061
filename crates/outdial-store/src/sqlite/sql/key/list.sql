SELECT k.seq, k.created_at, k.name, k.hint, k.scopes, k.revoked_at, k.expires_at, k.last_used_at,
  old.seq, old.created_at
FROM api_key k
LEFT JOIN api_key old ON old.seq = k.replaces
WHERE k.workspace = ?1
ORDER BY k.seq
