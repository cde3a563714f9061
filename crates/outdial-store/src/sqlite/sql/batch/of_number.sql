SELECT batch FROM batch_number WHERE phone = ?1 ORDER BY batch
