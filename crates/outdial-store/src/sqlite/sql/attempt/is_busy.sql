SELECT 1 FROM live WHERE workspace = ?1 AND phone = ?2
