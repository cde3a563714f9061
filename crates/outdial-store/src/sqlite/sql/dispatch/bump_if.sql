UPDATE dispatch SET version = version + 1 WHERE workspace = ?1 AND version = ?2
