UPDATE live SET cancel_requested = TRUE WHERE workspace = $1 AND phone = $2 AND batch = $3
