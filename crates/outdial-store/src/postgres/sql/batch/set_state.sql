UPDATE batch SET updated_at = $2, state = $3, pause_reason = $4 WHERE seq = $1
