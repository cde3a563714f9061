INSERT INTO trunk (created_at, workspace, integration, calls_per_second, channels)
VALUES (?1, ?2, 'simulated', NULL, 500)
