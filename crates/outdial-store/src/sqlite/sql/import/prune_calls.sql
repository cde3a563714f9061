DELETE FROM call WHERE seq IN (
  SELECT seq FROM call WHERE batch = ?1 ORDER BY phone LIMIT ?2)
