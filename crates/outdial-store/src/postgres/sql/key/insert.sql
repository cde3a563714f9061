INSERT INTO api_key (created_at, workspace, hash, hint, name, scopes)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING seq
