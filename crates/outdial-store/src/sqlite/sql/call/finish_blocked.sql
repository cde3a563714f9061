UPDATE call SET state = 2, disposition = ?2, disposition_reason = ?3 WHERE seq = ?1
