-- Whoever holds the row extends it, too, or ends it: chunks of a request do not wait for each
-- other.
UPDATE request SET lease_until = $2
WHERE seq = (
  SELECT seq FROM request
  WHERE seq = $1 AND owner = $3 AND lease_until < $4
  FOR NO KEY UPDATE SKIP LOCKED)
