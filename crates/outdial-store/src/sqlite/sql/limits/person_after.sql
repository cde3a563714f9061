-- The n-th attempt after one, n = ?2 + 1.
SELECT attempt FROM person_attempt WHERE attempt > ?1 ORDER BY attempt LIMIT 1 OFFSET ?2
