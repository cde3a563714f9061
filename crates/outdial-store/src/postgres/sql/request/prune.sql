DELETE FROM request WHERE seq = ANY ($1)
