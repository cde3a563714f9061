INSERT INTO phone (created_at, workspace, number, integration, agent)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING seq
