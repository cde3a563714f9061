UPDATE webhook SET updated_at = $2, url = $3, description = $4, events = $5, disabled_at = $6,
  disabled_reason = $7, failing_since = $8
WHERE seq = $1
