SELECT 1 FROM batch_number WHERE batch = ?1 LIMIT 1
