-- Those of a chunk's numbers that were there before its block ($3). Held until it is stored.
SELECT seq, created_at, phone, state, disposition, disposition_reason, picked
FROM call
WHERE batch = $1 AND phone = ANY ($2) AND (seq < $3 OR seq >= $3 + 1000)
ORDER BY phone
FOR NO KEY UPDATE
