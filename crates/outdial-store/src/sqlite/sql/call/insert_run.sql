INSERT INTO call_run (batch, before, first_seq, count) VALUES (?1, ?2, ?3, ?4)
