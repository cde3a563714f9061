UPDATE batch SET updated_at = ?2, state = ?3, pause_reason = ?4, next_lane = max(next_lane, ?5)
WHERE seq = ?1
