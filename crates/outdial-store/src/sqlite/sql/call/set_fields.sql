UPDATE call_fields SET fields = ?2 WHERE seq = ?1
