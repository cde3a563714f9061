SELECT 1 FROM dnc WHERE workspace = ?1 AND phone = ?2
