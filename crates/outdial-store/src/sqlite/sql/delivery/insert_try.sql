INSERT INTO delivery_try (delivery, number, at, took_ms, status, error, answer)
SELECT ?1, 1 + coalesce(max(number), 0), ?2, ?3, ?4, ?5, ?6
FROM delivery_try
WHERE delivery = ?1
