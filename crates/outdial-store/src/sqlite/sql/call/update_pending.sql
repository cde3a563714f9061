UPDATE call SET class = ?2, lane = coalesce(?3, lane), agent = ?4, agent_version = ?5,
  updated_at = ?6
WHERE seq = ?1
