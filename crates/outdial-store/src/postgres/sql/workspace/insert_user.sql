INSERT INTO workspace_user (created_at, workspace) VALUES ($1, $2)
RETURNING seq
