SELECT 1 FROM phone WHERE seq = $1 AND created_at / 1000 = $2 AND deleted_at IS NULL FOR UPDATE
