INSERT INTO agent (created_at, updated_at, workspace, version, name, languages, connection)
VALUES ($1, $1, $2, 1, $3, $4, $5)
RETURNING seq
