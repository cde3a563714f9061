UPDATE call SET updated_at = $2 WHERE seq = ANY ($1)
