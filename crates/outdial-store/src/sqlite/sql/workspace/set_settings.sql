UPDATE workspace SET settings = ?3 WHERE seq = ?1 AND created_at / 1000 = ?2
