-- Whoever rests because of the attempts of 24 h is due at once.
UPDATE call SET not_before = min(not_before, ?2), wait_reason = NULL
WHERE state = 0 AND wait_reason = 'attempts_per_day'
  AND batch IN (SELECT seq FROM batch WHERE workspace = ?1)
