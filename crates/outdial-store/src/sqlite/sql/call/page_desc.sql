-- Keys: 0 created_at (that is the order of seq), 1 updated_at, 2 phone, 3 status, 4 field ?4.
-- The same as page_asc.sql the other way round.
SELECT c.seq, count(*) OVER ()
FROM call_run r
CROSS JOIN call c ON c.seq >= r.first_seq AND c.seq < r.first_seq + r.count
JOIN call_fields f ON f.seq = c.seq
LEFT JOIN attempt a ON c.state = 1 AND a.call = c.seq AND a.number = c.attempts
WHERE r.batch = ?1
  AND call_matches(?2, c.phone, f.fields, CASE c.state
    WHEN 0 THEN 'pending'
    WHEN 1 THEN CASE a.state WHEN 3 THEN 'in-progress' WHEN 2 THEN 'ringing' ELSE 'dialing' END
    ELSE c.disposition END)
ORDER BY CASE ?3
    WHEN 0 THEN NULL
    WHEN 1 THEN c.updated_at
    WHEN 2 THEN c.phone
    WHEN 3 THEN CASE c.state
      WHEN 0 THEN 'pending'
      WHEN 1 THEN CASE a.state WHEN 3 THEN 'in-progress' WHEN 2 THEN 'ringing' ELSE 'dialing' END
      ELSE c.disposition END
    WHEN 4 THEN field_text(?4, f.fields)
  END DESC NULLS LAST, c.seq DESC
LIMIT ?5 OFFSET ?6
