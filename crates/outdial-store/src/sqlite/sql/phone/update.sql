UPDATE phone SET agent = ?2, calls_per_second = ?3, channels = ?4 WHERE seq = ?1
