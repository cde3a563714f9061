-- The hot path of ingest, with call/insert_fields.
INSERT INTO call
  (batch, phone, class, lane, state, is_retry, round, charged, uncharged, attempts, not_before,
   wait_reason, disposition, disposition_reason, picked, agent, agent_version, created_at,
   updated_at)
VALUES (?1, ?2, ?3, ?4, 0, 0, 1, 0, 0, 0, ?5, NULL, NULL, NULL, 0, ?6, ?7, ?5, ?5)
ON CONFLICT (batch, phone) DO NOTHING
