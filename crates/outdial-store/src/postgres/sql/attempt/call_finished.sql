UPDATE call SET state = 2, disposition = $2, disposition_reason = $3, wait_reason = NULL,
  charged = charged + $4, uncharged = uncharged + $5, picked = picked OR $6, updated_at = $7
WHERE seq = $1
