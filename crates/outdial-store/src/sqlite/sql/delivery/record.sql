-- Another process has it only if this one took too long; what arrived has arrived.
UPDATE delivery SET state = ?3, tries = tries + 1, owner = NULL,
  next_at = coalesce(?4, next_at), keep_until = ?5
WHERE seq = ?1 AND created_at / 1000 = ?2 AND state = 0 AND (owner = ?6 OR ?3 = 1)
RETURNING webhook
