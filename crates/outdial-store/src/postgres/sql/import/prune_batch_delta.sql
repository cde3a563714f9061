DELETE FROM batch_delta WHERE batch = $1
