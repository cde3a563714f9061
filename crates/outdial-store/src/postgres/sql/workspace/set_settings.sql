UPDATE workspace SET settings = $3, do_not_call = $4 WHERE seq = $1 AND created_at / 1000 = $2
