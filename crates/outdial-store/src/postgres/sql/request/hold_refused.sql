-- One with a key and no final answer that no other process ($3: this one) is at work on. Waits for
-- chunks of it that are being stored, and keeps others out.
SELECT 1
FROM request
WHERE seq = $1 AND created_at / 1000 = $2 AND key IS NOT NULL AND NOT is_final
  AND (owner IS NULL OR owner = $3)
FOR UPDATE
