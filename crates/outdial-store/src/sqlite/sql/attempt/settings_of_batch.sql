SELECT settings FROM batch WHERE seq = ?1
