SELECT at, took_ms, status, error, answer FROM delivery_try WHERE delivery = ?1 ORDER BY number
