SELECT text FROM class WHERE id = ?1
