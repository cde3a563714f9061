INSERT INTO webhook (created_at, updated_at, workspace, url, description, events, secret)
VALUES ($1, $1, $2, $3, $4, $5, $6)
RETURNING seq
