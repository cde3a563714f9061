-- With the fact that its attempt ($9) is over; none: it was not sent.
WITH moved AS (
  UPDATE call SET state = 0, is_retry = $2, not_before = $3, wait_reason = $4,
    charged = charged + $5, uncharged = uncharged + $6, picked = picked OR $7, updated_at = $8
  WHERE seq = $1
  RETURNING seq, batch
)
INSERT INTO outbox (kind, at, batch, subject, attempt)
SELECT 1, $10, batch, seq, $9 FROM moved WHERE $9 IS NOT NULL
