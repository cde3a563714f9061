-- Nothing is filtered. Keys: 1 updated_at, 3 status, 4 field ?3.
-- page_all_desc.sql is the same the other way round.
SELECT c.seq
FROM call_run r
CROSS JOIN call c ON c.seq >= r.first_seq AND c.seq < r.first_seq + r.count
JOIN call_fields f ON f.seq = c.seq
LEFT JOIN attempt a ON c.state = 1 AND a.call = c.seq AND a.number = c.attempts
WHERE r.batch = ?1
ORDER BY CASE ?2
    WHEN 1 THEN c.updated_at
    WHEN 3 THEN CASE c.state
      WHEN 0 THEN 'pending'
      WHEN 1 THEN CASE a.state WHEN 3 THEN 'in-progress' WHEN 2 THEN 'ringing' ELSE 'dialing' END
      ELSE c.disposition END
    WHEN 4 THEN field_text(?3, f.fields)
  END ASC NULLS FIRST, c.seq ASC
LIMIT ?4 OFFSET ?5
