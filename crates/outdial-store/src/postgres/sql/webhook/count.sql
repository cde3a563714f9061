SELECT count(*) FROM webhook WHERE workspace = $1 AND deleted_at IS NULL
