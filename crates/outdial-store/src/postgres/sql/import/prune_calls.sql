DELETE FROM call WHERE seq = ANY ($1)
