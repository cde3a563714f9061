UPDATE batch SET state = ?2, pause_reason = ?3, updated_at = ?4 WHERE seq = ?1
