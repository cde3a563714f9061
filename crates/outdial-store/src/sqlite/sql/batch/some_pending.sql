SELECT seq, phone
FROM call INDEXED BY call_pending
WHERE state = 0 AND batch = ?1
LIMIT ?2
