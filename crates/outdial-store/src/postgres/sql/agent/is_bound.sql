SELECT 1 FROM phone WHERE workspace = $1 AND agent = $2 AND deleted_at IS NULL LIMIT 1
