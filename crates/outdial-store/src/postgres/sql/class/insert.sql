INSERT INTO class (text)
SELECT DISTINCT c.text FROM unnest($1) AS c (text) ORDER BY c.text
ON CONFLICT DO NOTHING
