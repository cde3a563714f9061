-- What was added for the call while it was on the phone. $3: it would be pending, and may be
-- blocked by that; then it is told.
WITH taken AS (
  DELETE FROM call_deferred WHERE call = $1
  RETURNING class, lane, agent, agent_version, disposition, disposition_reason, fields
), written AS (
  UPDATE call_fields f SET fields = t.fields FROM taken t WHERE f.seq = $1
), moved AS (
  UPDATE call c SET class = t.class, lane = coalesce(t.lane, c.lane), agent = t.agent,
    agent_version = t.agent_version, updated_at = $2,
    state = CASE WHEN $3 AND t.disposition IS NOT NULL THEN 2 ELSE c.state END,
    disposition = CASE WHEN $3 AND t.disposition IS NOT NULL
      THEN t.disposition ELSE c.disposition END,
    disposition_reason = CASE WHEN $3 AND t.disposition IS NOT NULL
      THEN t.disposition_reason ELSE c.disposition_reason END
  FROM taken t
  WHERE c.seq = $1
  RETURNING c.seq, c.batch, c.attempts, c.round, c.disposition, c.disposition_reason,
    $3 AND t.disposition IS NOT NULL AS is_blocked
)
INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition, reason)
SELECT 0, $2, batch, seq, attempts, round, disposition, disposition_reason
FROM moved
WHERE is_blocked
