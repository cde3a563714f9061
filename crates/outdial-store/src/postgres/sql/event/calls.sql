-- Calls, and of their attempts that were sent, or may have been, those of a round ($3) up to a
-- number ($2); or an attempt ($4) and those of its round before it.
SELECT r.place, c.seq, c.created_at, b.seq, b.created_at, c.phone, f.fields,
  (SELECT count(*) FROM attempt x
   WHERE x.call = c.seq AND x.number <= a.number AND x.round = a.round AND x.state IN (4, 6)),
  a.number, a.token, coalesce(a.sent_at, a.send_at), a.answered_at, a.ended_at, a.disposition,
  a.reason, a.sip_status
FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS r (call, number, round, attempt, place)
JOIN call c ON c.seq = r.call
JOIN batch b ON b.seq = c.batch
JOIN call_fields f ON f.seq = c.seq
LEFT JOIN LATERAL (
  SELECT * FROM attempt y
  WHERE y.call = c.seq AND CASE
    WHEN r.attempt IS NOT NULL THEN y.seq = r.attempt
    ELSE y.number <= r.number AND y.round = r.round AND y.state IN (4, 6) END
  ORDER BY y.number DESC LIMIT 1
) a ON TRUE
