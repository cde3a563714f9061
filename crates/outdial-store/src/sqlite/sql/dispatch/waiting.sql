-- ?2 is the present: what is due is due alike, the rest by the minute, rounded up.
SELECT lane, class, is_retry, charged, uncharged,
  CASE WHEN not_before > ?2 THEN wait_reason END AS reason,
  CASE WHEN not_before > ?2 THEN (not_before + 59999) / 60000 * 60000 ELSE 0 END AS due,
  count(*), min(not_before)
FROM call INDEXED BY call_pending
WHERE state = 0 AND batch = ?1
GROUP BY lane, class, is_retry, charged, uncharged, reason, due
