-- The n-th latest attempt at a person after an instant, n = ?4 + 1.
SELECT at
FROM person_attempt
WHERE workspace = ?1 AND phone = ?2 AND at > ?3
ORDER BY at DESC
LIMIT 1 OFFSET ?4
