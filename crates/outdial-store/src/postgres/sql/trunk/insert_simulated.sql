INSERT INTO trunk (created_at, updated_at, workspace, integration, calls_per_second, channels)
VALUES ($1, $1, $2, 'simulated', NULL, 500)
ON CONFLICT DO NOTHING
RETURNING seq
