INSERT INTO phone_trunk (phone, pos, trunk)
SELECT $1, t.pos - 1, t.seq FROM unnest($2) WITH ORDINALITY AS t (seq, pos)
