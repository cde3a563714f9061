UPDATE batch SET updated_at = ?4, state = 'paused', pause_reason = ?5
WHERE seq = ?1 AND created_at / 1000 = ?2 AND workspace = ?3 AND state = 'active'
