SELECT seq, created_at, phone, not_before, round, charged, uncharged, attempts
FROM call INDEXED BY call_pending
WHERE state = 0 AND batch = ?1 AND lane = ?2 AND class = ?3 AND is_retry = ?4
  AND not_before <= ?5 AND (not_before, seq) > (?6, ?7)
ORDER BY not_before, seq
LIMIT ?8
