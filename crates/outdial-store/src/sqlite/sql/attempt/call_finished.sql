UPDATE call SET state = 2, disposition = ?2, disposition_reason = NULL, wait_reason = NULL,
  charged = charged + ?3, uncharged = uncharged + ?4, picked = max(picked, ?5), updated_at = ?6
WHERE seq = ?1
