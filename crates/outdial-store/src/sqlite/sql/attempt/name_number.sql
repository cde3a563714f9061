UPDATE live SET attempt = ?3 WHERE workspace = ?1 AND phone = ?2
