DELETE FROM call_fields WHERE seq = ANY ($1)
