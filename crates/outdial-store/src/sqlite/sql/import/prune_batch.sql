DELETE FROM batch WHERE seq = ?1
