-- $2 is the present: what is due is due alike, the rest by the minute, rounded up.
SELECT b.seq, b.created_at, c.lane, c.class, c.is_retry, c.charged, c.uncharged,
  CASE WHEN c.not_before > $2 THEN c.wait_reason END AS reason,
  CASE WHEN c.not_before > $2 THEN (c.not_before + 59999) / 60000 * 60000 ELSE 0 END AS due,
  count(*), min(c.not_before)
FROM call c
JOIN batch b ON b.seq = c.batch
WHERE c.state = 0 AND c.batch = ANY ($1)
GROUP BY b.seq, c.lane, c.class, c.is_retry, c.charged, c.uncharged, reason, due
