DELETE FROM person_attempt WHERE attempt = ?1
