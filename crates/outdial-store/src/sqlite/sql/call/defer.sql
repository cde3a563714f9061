INSERT INTO call_deferred
  (call, class, lane, agent, agent_version, disposition, disposition_reason, fields)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (call) DO UPDATE SET class = excluded.class, lane = coalesce(excluded.lane, lane),
  agent = excluded.agent, agent_version = excluded.agent_version,
  disposition = excluded.disposition, disposition_reason = excluded.disposition_reason,
  fields = excluded.fields
