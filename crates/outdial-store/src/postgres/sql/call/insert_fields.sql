INSERT INTO call_fields (seq, fields)
SELECT f.seq, f.fields FROM unnest($1, $2) AS f (seq, fields)
