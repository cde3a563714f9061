-- A call, and of its attempts that were sent, or may have been, those of a round (?3) up to a
-- number (?2); or the attempt ?4 and those of its round before it.
SELECT c.seq, c.created_at, b.seq, b.created_at, c.phone, f.fields,
  (SELECT count(*) FROM attempt x
   WHERE x.call = c.seq AND x.number <= coalesce(a.number, 0) AND x.round = a.round
     AND x.state IN (4, 6)),
  a.number, a.token, coalesce(a.sent_at, a.send_at), a.answered_at, a.ended_at, a.disposition,
  a.reason, a.sip_status
FROM call c
JOIN batch b ON b.seq = c.batch
JOIN call_fields f ON f.seq = c.seq
LEFT JOIN attempt a ON a.seq = coalesce(?4, (
  SELECT y.seq FROM attempt y
  WHERE y.call = c.seq AND y.number <= ?2 AND y.round = ?3 AND y.state IN (4, 6)
  ORDER BY y.number DESC LIMIT 1))
WHERE c.seq = ?1
