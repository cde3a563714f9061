INSERT INTO call_deferred AS d
  (call, class, lane, agent, agent_version, disposition, disposition_reason, fields)
SELECT r.seq, r.class, $1, $2, $3, r.disposition, r.reason, r.fields
FROM unnest($4, $5, $6, $7, $8) AS r (seq, class, disposition, reason, fields)
ON CONFLICT (call) DO UPDATE SET class = excluded.class, lane = coalesce(excluded.lane, d.lane),
  agent = excluded.agent, agent_version = excluded.agent_version,
  disposition = excluded.disposition, disposition_reason = excluded.disposition_reason,
  fields = excluded.fields
