UPDATE batch SET brake = '{}' WHERE seq = ?1
