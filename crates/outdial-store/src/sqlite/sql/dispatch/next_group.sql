-- One step of a loose index scan: the first pending call behind the group (lane, class, is_retry).
-- SQLite seeks a row value as if `>` were `>=` and skips what is equal row by row, so the largest
-- integer stands for "behind every call of the group".
SELECT lane, class, is_retry, not_before
FROM call INDEXED BY call_pending
WHERE state = 0 AND batch = ?1
  AND (lane, class, is_retry, not_before) > (?2, ?3, ?4, 9223372036854775807) AND lane <= ?5
ORDER BY lane, class, is_retry, not_before, seq
LIMIT 1
