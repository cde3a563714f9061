-- If it is as it was found.
UPDATE request SET owner = $2, lease_until = $3
WHERE seq = $1 AND NOT is_final AND NOT closed AND owner IS NOT DISTINCT FROM $4
  AND lease_until = $5
