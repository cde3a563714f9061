UPDATE trunk SET paused_until = max(coalesce(paused_until, 0), ?2) WHERE seq = ?1
