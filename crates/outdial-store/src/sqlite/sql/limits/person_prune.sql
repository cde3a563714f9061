DELETE FROM person_attempt WHERE attempt > ?1 AND attempt <= ?2 AND at <= ?3
