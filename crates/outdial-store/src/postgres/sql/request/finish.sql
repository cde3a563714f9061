-- A final answer never changes. Any other says only that its process ($8) is done: the lease of one
-- that has taken the request over stays.
UPDATE request SET owner = NULL, lease_until = 0, is_final = $3, answer_status = $4,
  answer_body = $5, expires_at = CASE WHEN key IS NULL THEN $6 ELSE $7 END
WHERE seq = $1 AND created_at / 1000 = $2 AND NOT is_final
  AND ($3 OR owner IS NULL OR owner = $8)
