DELETE FROM delivery_try WHERE delivery = ?1
