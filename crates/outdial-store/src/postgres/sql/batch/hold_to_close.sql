-- Passes over those that calls are being added to.
SELECT seq
FROM batch
WHERE seq = ANY ($1)
ORDER BY seq
FOR UPDATE SKIP LOCKED
