DELETE FROM request WHERE seq IN (
  SELECT seq FROM request
  WHERE expires_at <= ?1 AND NOT (owner IS ?2 AND lease_until > ?1)
  ORDER BY expires_at
  LIMIT ?3
)
