UPDATE call_fields c SET fields = f.fields
FROM unnest($1, $2) AS f (seq, fields)
WHERE c.seq = f.seq
