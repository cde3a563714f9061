UPDATE attempt SET state = ?3,
  sent_at = CASE WHEN ?3 = 1 THEN ?4 ELSE sent_at END,
  ringing_at = CASE WHEN ?3 = 2 THEN ?4 ELSE ringing_at END,
  answered_at = CASE WHEN ?3 = 3 THEN ?4 ELSE answered_at END
WHERE seq = ?1 AND created_at / 1000 = ?2 AND state < ?3 AND state < 4
  AND coalesce(rescuer, owner) = ?5
