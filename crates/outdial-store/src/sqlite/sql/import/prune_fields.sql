-- The same calls as import/prune_calls takes after it.
DELETE FROM call_fields WHERE seq IN (
  SELECT seq FROM call WHERE batch = ?1 ORDER BY phone LIMIT ?2)
