-- Calls of a batch that may match; what is in their fields is looked at outside, as it was sent.
-- Statuses $2, numbers $3; a part $4 of the number or of a field, in lower case. Without escapes,
-- what is in a value is in the text; beyond ASCII the database's lower case is not asked.
SELECT c.seq, c.phone, c.updated_at, s.status, f.fields
FROM call c
JOIN call_fields f ON f.seq = c.seq
LEFT JOIN attempt a ON c.state = 1 AND a.call = c.seq AND a.number = c.attempts
CROSS JOIN LATERAL (
  SELECT coalesce(CASE c.state
    WHEN 0 THEN 'pending'
    WHEN 1 THEN CASE a.state WHEN 3 THEN 'in-progress' WHEN 2 THEN 'ringing' ELSE 'dialing' END
    ELSE c.disposition END, '') AS status
) s
WHERE c.batch = $1
  AND ($2::TEXT[] IS NULL OR s.status = ANY ($2))
  AND ($3::BIGINT[] IS NULL OR c.phone = ANY ($3))
  AND ($4::TEXT IS NULL OR position($4 in c.phone::TEXT) > 0
    OR position($4 in lower(f.fields COLLATE "C")) > 0
    OR position('\' in f.fields) > 0 OR octet_length(f.fields) <> char_length(f.fields))
