UPDATE attempt SET rescuer = ?1
WHERE seq IN (
  SELECT seq FROM attempt
  WHERE state < 4 AND owner <> ?1 AND (rescuer IS NULL OR rescuer <> ?1)
  ORDER BY seq
  LIMIT ?2
)
