INSERT INTO batch_number (batch, pos, phone)
SELECT $1, n.pos - 1, n.phone
FROM unnest($2) WITH ORDINALITY AS n (phone, pos)
