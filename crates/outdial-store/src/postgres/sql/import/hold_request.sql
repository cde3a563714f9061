-- One that is not answered yet, against its chunks too: what they do is there, or they will find
-- what this transaction does.
SELECT seq FROM request WHERE seq = $1 AND created_at / 1000 = $2 AND NOT is_final FOR UPDATE
