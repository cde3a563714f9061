-- Whoever rests because of the attempts of 24 h is due at once.
UPDATE call c SET not_before = least(c.not_before, $2), wait_reason = NULL
FROM (
  SELECT r.seq
  FROM batch b
  JOIN call r ON r.batch = b.seq
  WHERE b.workspace = $1 AND r.state = 0 AND r.wait_reason = 'attempts_per_day'
  ORDER BY r.phone, r.seq
  FOR UPDATE OF r
) q
WHERE c.seq = q.seq
