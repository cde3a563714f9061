-- Those of a group of retries that wait for the batch's delay wait longer by ?5 ms, after an attempt
-- that ended as unknown by ?6. Shorter: none is due before ?7 that was not.
UPDATE call SET not_before = max(min(not_before, ?7), not_before + CASE (
    SELECT a.disposition FROM attempt a
    WHERE a.call = call.seq
    ORDER BY a.number DESC LIMIT 1)
  WHEN 'unknown' THEN ?6 ELSE ?5 END)
WHERE state = 0 AND batch = ?1 AND lane = ?2 AND class = ?3 AND is_retry = ?4
  AND wait_reason = 'retry_delay'
