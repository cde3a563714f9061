-- One that is not answered yet.
SELECT 1 FROM request WHERE seq = ?1 AND created_at / 1000 = ?2 AND is_final = 0
