SELECT id, text FROM class WHERE id = ANY ($1)
