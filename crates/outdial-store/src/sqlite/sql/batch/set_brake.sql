UPDATE batch SET brake = ?4
WHERE seq = ?1 AND created_at / 1000 = ?2 AND workspace = ?3 AND state = 'active'
