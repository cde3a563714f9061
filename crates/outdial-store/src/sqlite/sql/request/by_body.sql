SELECT seq, created_at, body_sha256, context, owner, lease_until, is_final, answer_status,
  answer_body
FROM request
WHERE workspace = ?1 AND scope = ?2 AND body_sha256 = ?3 AND key IS NULL AND closed = 0
  AND (expires_at > ?4 OR (owner = ?5 AND lease_until > ?4))
ORDER BY seq DESC
LIMIT 1
