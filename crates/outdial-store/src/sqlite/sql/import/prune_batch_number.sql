DELETE FROM batch_number WHERE batch = ?1
