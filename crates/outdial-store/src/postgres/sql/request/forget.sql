-- A refused request leaves no trace of its key.
DELETE FROM request
WHERE seq = $1 AND created_at / 1000 = $2 AND key IS NOT NULL AND NOT is_final
  AND NOT EXISTS (SELECT 1 FROM request_chunk WHERE request = $1)
