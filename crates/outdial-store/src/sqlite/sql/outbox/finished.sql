-- A call has its disposition. Of an import, whoever finishes that tells.
INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition, reason)
SELECT 0, ?2, batch, seq, attempts, round, disposition, disposition_reason
FROM call
WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM import i WHERE i.batch = call.batch)
