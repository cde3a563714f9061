DELETE FROM batch_pulse WHERE batch = $1
