-- What a search looks at. It is matched outside: case-insensitive beyond ASCII whatever the
-- database's locale, and no character is a wildcard.
SELECT seq, name, state
FROM batch
WHERE workspace = $1 AND state NOT IN ('deleted', 'importing')
ORDER BY seq DESC
