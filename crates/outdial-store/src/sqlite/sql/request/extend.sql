UPDATE request SET lease_until = max(lease_until, CASE WHEN owner = ?4 THEN ?3 ELSE 0 END)
WHERE seq = ?1 AND created_at / 1000 = ?2
