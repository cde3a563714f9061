-- The hot path of ingest, with call/insert_fields. By phone number, like everybody who writes
-- several. One that another transaction is adding is waited for, and is then an existing one.
INSERT INTO call
  (seq, batch, phone, class, lane, state, is_retry, round, charged, uncharged, attempts,
   not_before, wait_reason, disposition, disposition_reason, picked, agent, agent_version,
   created_at, updated_at)
SELECT r.seq, $1, r.phone, r.class, $2, CASE WHEN r.disposition IS NULL THEN 0 ELSE 2 END, FALSE,
  1, 0, 0, 0, $3, NULL, r.disposition, r.reason, FALSE, $4, $5, $3, $3
FROM unnest($6, $7, $8, $9, $10) AS r (seq, phone, class, disposition, reason)
ON CONFLICT (batch, phone) DO NOTHING
