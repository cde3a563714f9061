-- With the facts that its attempt ($8; none: it was not sent) and that the call is over.
WITH moved AS (
  UPDATE call SET state = 2, disposition = $2, disposition_reason = $3, wait_reason = NULL,
    charged = charged + $4, uncharged = uncharged + $5, picked = picked OR $6, updated_at = $7
  WHERE seq = $1
  RETURNING seq, batch, attempts, round
)
INSERT INTO outbox (kind, at, batch, subject, attempt, attempts, round, disposition, reason)
SELECT 1, $9, batch, seq, $8, NULL, NULL, NULL, NULL FROM moved WHERE $8 IS NOT NULL
UNION ALL
SELECT 0, $7, batch, seq, NULL, attempts, round, $2, $3 FROM moved
