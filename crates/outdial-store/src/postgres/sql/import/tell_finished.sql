INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition, reason)
SELECT 0, $2, batch, seq, attempts, round, disposition, disposition_reason
FROM call
WHERE batch = $1 AND state = 2
ORDER BY seq
