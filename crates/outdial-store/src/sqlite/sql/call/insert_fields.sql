INSERT INTO call_fields (seq, fields) VALUES (?1, ?2)
