UPDATE batch SET updated_at = $2, state = 'active', pause_reason = NULL, lane = $3 WHERE seq = $1
