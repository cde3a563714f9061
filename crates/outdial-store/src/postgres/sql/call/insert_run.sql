INSERT INTO call_run (batch, first_seq, span, count) VALUES ($1, $2, $3, $4)
