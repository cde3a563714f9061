UPDATE trunk SET updated_at = $2, name = $3, calls_per_second = $4, channels = $5,
  ring_timeout_ms = $6, max_call_s = $7, health = 'unknown', health_detail = NULL,
  health_since = NULL
WHERE seq = $1
