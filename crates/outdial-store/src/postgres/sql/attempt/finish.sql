-- The attempt's own rows; its number is free.
WITH dialog AS (
  DELETE FROM attempt_dialog WHERE attempt = $1
), released AS (
  DELETE FROM live WHERE workspace = $12 AND phone = $13 AND attempt = $1
), forgotten AS (
  DELETE FROM person_attempt WHERE attempt = $1 AND NOT $11
)
UPDATE attempt SET state = $2,
  sent_at = CASE WHEN $3 IS NULL AND NOT $11 THEN NULL ELSE coalesce($3, sent_at) END,
  ringing_at = coalesce($4, ringing_at), answered_at = coalesce($5, answered_at), ended_at = $6,
  disposition = $7, fault = $8, reason = $9, sip_status = $10, charged = $11
WHERE seq = $1
