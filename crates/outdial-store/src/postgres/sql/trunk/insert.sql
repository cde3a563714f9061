INSERT INTO trunk (created_at, updated_at, workspace, integration, name, calls_per_second, channels,
  ring_timeout_ms, max_call_s)
VALUES ($1, $1, $2, 'sip', $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING seq
