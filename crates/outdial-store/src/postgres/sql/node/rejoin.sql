UPDATE node
SET id = $2, name = $3, host = $4, role = $5, address = $6, version = $7, beat_at = $8,
  left_at = NULL
WHERE instance = $1
