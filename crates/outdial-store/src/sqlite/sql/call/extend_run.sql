UPDATE call_run SET count = count + ?3 WHERE batch = ?1 AND before = ?2
