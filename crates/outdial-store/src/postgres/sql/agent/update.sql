UPDATE agent SET updated_at = $2, version = version + 1, name = $3, languages = $4, connection = $5
WHERE seq = $1
RETURNING version
