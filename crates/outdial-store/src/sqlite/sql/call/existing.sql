SELECT seq, created_at, state, disposition, disposition_reason, picked
FROM call
WHERE batch = ?1 AND phone = ?2
