UPDATE dispatch SET version = version + 1 WHERE workspace = $1
