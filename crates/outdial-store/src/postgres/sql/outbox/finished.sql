-- Calls that have just finished.
INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition, reason)
SELECT 0, $2, batch, seq, attempts, round, disposition, disposition_reason
FROM call
WHERE seq = ANY ($1)
ORDER BY seq
