SELECT 1 FROM trunk WHERE workspace = $1 AND name = $2 AND deleted_at IS NULL AND seq IS DISTINCT FROM $3
