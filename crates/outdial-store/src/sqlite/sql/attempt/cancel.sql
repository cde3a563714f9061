UPDATE live SET cancel_requested = 1 WHERE workspace = ?1 AND phone = ?2
