INSERT INTO phone (created_at, workspace, number, integration, trunk, agent)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO NOTHING
RETURNING seq
