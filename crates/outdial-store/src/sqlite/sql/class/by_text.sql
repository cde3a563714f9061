SELECT id FROM class WHERE text = ?1
