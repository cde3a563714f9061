-- Which of these calls are as their candidates said, in active batches of the workspace; added
-- again, one may be in another lane or class. One that somebody else is changing is not waited for.
SELECT q.i, b.enable_dnc
FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10) WITH ORDINALITY
  AS q (call, secs, batch, batch_secs, phone, attempts, round, lane, class, i)
JOIN batch b ON b.seq = q.batch AND b.created_at / 1000 = q.batch_secs
JOIN call c ON c.seq = q.call AND c.created_at / 1000 = q.secs
WHERE b.workspace = $1 AND b.state = 'active' AND c.batch = q.batch AND c.phone = q.phone
  AND c.state = 0 AND c.attempts = q.attempts AND c.round = q.round AND c.lane = q.lane
  AND c.class = q.class
ORDER BY q.phone, q.i
FOR UPDATE OF c SKIP LOCKED
