DELETE FROM batch_number WHERE phone = $1 RETURNING batch
