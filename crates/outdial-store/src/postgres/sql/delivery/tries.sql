SELECT at, took_ms, status, error, answer, delivery
FROM delivery_try
WHERE delivery = ANY ($1)
ORDER BY delivery, number
