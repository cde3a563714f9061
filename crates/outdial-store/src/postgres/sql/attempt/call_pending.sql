UPDATE call SET state = 0, is_retry = $2, not_before = $3, wait_reason = $4,
  charged = charged + $5, uncharged = uncharged + $6, picked = picked OR $7, updated_at = $8
WHERE seq = $1
