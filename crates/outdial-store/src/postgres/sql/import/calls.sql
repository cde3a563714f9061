SELECT seq FROM call WHERE batch = $1 ORDER BY phone LIMIT $2
