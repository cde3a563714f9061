-- Entries in whose digits, or in whose token as the API shows it, or in whose kind $2 is found. A
-- kind beyond ASCII comes along and is looked at outside, whatever the database's locale.
SELECT d.seq, CASE WHEN f.is_found THEN NULL ELSE d.kind END
FROM dnc d
CROSS JOIN LATERAL (
  SELECT position($2 in d.phone::TEXT) > 0
    OR position($2 in encode(d.token, 'hex')::UUID::TEXT) > 0
    OR position($2 in lower(coalesce(d.kind, '') COLLATE "C")) > 0 AS is_found
) f
WHERE d.workspace = $1 AND (f.is_found OR octet_length(d.kind) <> char_length(d.kind))
ORDER BY d.seq DESC
