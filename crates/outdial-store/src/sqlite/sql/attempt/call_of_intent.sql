-- The call, if it is still as its candidate said; added again, it may be in another lane or class.
SELECT seq FROM call
WHERE seq = ?1 AND created_at / 1000 = ?2 AND batch = ?3 AND phone = ?4 AND state = 0
  AND attempts = ?5 AND round = ?6 AND lane = ?7 AND class = ?8
