SELECT settings FROM workspace WHERE seq = $1 AND created_at / 1000 = $2
