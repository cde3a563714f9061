UPDATE request SET owner = ?2, lease_until = ?3 WHERE seq = ?1
