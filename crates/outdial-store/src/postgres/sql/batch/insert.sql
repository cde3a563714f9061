INSERT INTO batch
  (created_at, updated_at, workspace, name, settings, state, next_lane, enable_dnc, expires_at)
VALUES ($1, $1, $2, $3, $4, 'pending', 1, $5, $6)
RETURNING seq
