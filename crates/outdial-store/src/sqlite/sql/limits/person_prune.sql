DELETE FROM person_attempt
WHERE at <= ?1 AND attempt IN (SELECT attempt FROM person_attempt ORDER BY attempt LIMIT ?2)
