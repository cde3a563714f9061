DELETE FROM batch_total WHERE batch = ?1
