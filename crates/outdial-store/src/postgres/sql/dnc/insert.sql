INSERT INTO dnc (created_at, workspace, phone, batch, token, kind)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace, phone) DO NOTHING
RETURNING seq
