SELECT count(*)
FROM dnc
WHERE workspace = ?1 AND (?2 IS NULL OR contains(CAST(phone AS TEXT), ?2)
  OR contains(coalesce(kind, ''), ?2) OR contains(uuid_text(token), ?2))
