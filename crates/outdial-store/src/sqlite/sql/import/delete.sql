DELETE FROM import WHERE batch = ?1
