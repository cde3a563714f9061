SELECT seq, created_at FROM batch WHERE workspace = ?1 AND state = 'active' ORDER BY seq
