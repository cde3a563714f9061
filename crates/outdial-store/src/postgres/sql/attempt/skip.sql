UPDATE call SET state = 2, disposition = $2, disposition_reason = $3, wait_reason = NULL,
  updated_at = $4
WHERE seq = ANY ($1) AND state = 0
