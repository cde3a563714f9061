-- `call_matches` is ours. The runs lead through the batch's rows in the order of the table.
SELECT count(*)
FROM call_run r
CROSS JOIN call c ON c.seq >= r.first_seq AND c.seq < r.first_seq + r.count
JOIN call_fields f ON f.seq = c.seq
LEFT JOIN attempt a ON c.state = 1 AND a.call = c.seq AND a.number = c.attempts
WHERE r.batch = ?1
  AND call_matches(?2, c.phone, f.fields, CASE c.state
    WHEN 0 THEN 'pending'
    WHEN 1 THEN CASE a.state WHEN 3 THEN 'in-progress' WHEN 2 THEN 'ringing' ELSE 'dialing' END
    ELSE c.disposition END)
