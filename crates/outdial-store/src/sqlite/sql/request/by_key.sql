SELECT seq, created_at, body_sha256, context, owner, lease_until, is_final, answer_status,
  answer_body
FROM request
WHERE workspace = ?1 AND scope = ?2 AND key = ?3
