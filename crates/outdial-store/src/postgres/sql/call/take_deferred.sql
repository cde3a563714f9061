DELETE FROM call_deferred WHERE call = $1
RETURNING class, lane, agent, agent_version, disposition, disposition_reason, fields
