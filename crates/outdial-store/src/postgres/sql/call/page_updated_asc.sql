SELECT seq FROM call WHERE batch = $1 ORDER BY updated_at ASC, seq ASC LIMIT $2 OFFSET $3
