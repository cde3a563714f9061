-- Of those who insert the same at once, one does.
INSERT INTO request
  (created_at, workspace, scope, key, body_sha256, context, owner, lease_until, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING seq
