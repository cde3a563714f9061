DELETE FROM request WHERE seq = ?1
