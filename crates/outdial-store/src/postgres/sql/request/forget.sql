-- A refused request leaves no trace of its key. It is held (request/hold_refused), so that a chunk
-- that was being stored is seen here.
DELETE FROM request
WHERE seq = $1 AND NOT EXISTS (SELECT 1 FROM request_chunk WHERE request = $1)
