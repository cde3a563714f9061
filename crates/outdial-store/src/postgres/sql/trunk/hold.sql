SELECT 1 FROM trunk WHERE seq = $1 AND created_at / 1000 = $2 AND deleted_at IS NULL FOR UPDATE
