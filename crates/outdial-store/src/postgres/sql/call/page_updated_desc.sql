SELECT seq FROM call WHERE batch = $1 ORDER BY updated_at DESC, seq DESC LIMIT $2 OFFSET $3
