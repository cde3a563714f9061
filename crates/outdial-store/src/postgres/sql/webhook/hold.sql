-- Whoever adds an endpoint to a workspace counts those that are there, one after the other.
SELECT 1 FROM workspace WHERE seq = $1 FOR NO KEY UPDATE
