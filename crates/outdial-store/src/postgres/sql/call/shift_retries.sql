-- Those retries of a batch that wait for its delay wait longer by $2 ms, after an attempt that
-- ended as unknown by $3. Shorter: none is due before $4 that was not.
WITH mine AS MATERIALIZED (
  SELECT seq FROM call
  WHERE state = 0 AND batch = $1 AND is_retry AND wait_reason = 'retry_delay'
  ORDER BY phone
  FOR NO KEY UPDATE
)
UPDATE call c SET not_before = greatest(least(c.not_before, $4), c.not_before + CASE (
    SELECT a.disposition FROM attempt a
    WHERE a.call = c.seq
    ORDER BY a.number DESC LIMIT 1)
  WHEN 'unknown' THEN $3 ELSE $2 END)
FROM mine
WHERE c.seq = mine.seq AND c.state = 0
