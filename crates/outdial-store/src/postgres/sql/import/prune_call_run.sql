DELETE FROM call_run WHERE batch = $1
