DELETE FROM live WHERE workspace = ?1 AND phone = ?2 AND attempt = ?3
