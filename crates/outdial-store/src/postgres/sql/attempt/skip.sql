-- With the fact that they are over.
WITH moved AS (
  UPDATE call SET state = 2, disposition = $2, disposition_reason = $3, wait_reason = NULL,
    updated_at = $4
  WHERE seq = ANY ($1) AND state = 0
  RETURNING seq, batch, attempts, round
)
INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition, reason)
SELECT 0, $4, batch, seq, attempts, round, $2, $3 FROM moved
