-- One step of a loose index scan: the first pending call behind the group (lane, class, is_retry).
SELECT lane, class, is_retry, not_before
FROM call INDEXED BY call_pending
WHERE state = 0 AND batch = ?1 AND (lane, class, is_retry) > (?2, ?3, ?4) AND lane <= ?5
ORDER BY lane, class, is_retry, not_before, seq
LIMIT 1
