DELETE FROM person_attempt
WHERE attempt IN (SELECT attempt FROM person_attempt WHERE at <= $1 ORDER BY at LIMIT $2)
