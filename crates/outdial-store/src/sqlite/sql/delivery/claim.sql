UPDATE delivery SET owner = ?2, next_at = ?3 WHERE seq = ?1
