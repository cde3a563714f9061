UPDATE call SET class = ?2, lane = ?3, agent = ?4, agent_version = ?5, updated_at = ?6,
  state = 0, is_retry = 0, round = round + 1, charged = 0, uncharged = 0, not_before = ?6,
  wait_reason = NULL, disposition_reason = NULL, picked = 0
WHERE seq = ?1
