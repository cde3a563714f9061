SELECT a.seq, a.created_at, c.seq, c.created_at, b.seq, b.created_at, b.state = 'deleted',
  b.settings, c.phone, t.seq, t.created_at, c.round, c.charged, c.uncharged, a.number, a.state,
  a.sent_at, a.ringing_at, a.answered_at, a.token, l.reserve_s, l.reserve_micros, l.price,
  t.integration, t.ring_timeout_ms,
  (SELECT count(*) FROM phone_trunk n WHERE n.phone = a.caller), p.number, a.send_by, d.dialog
FROM live l
JOIN attempt a ON a.seq = l.attempt
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
JOIN trunk t ON t.seq = a.trunk
JOIN phone p ON p.seq = a.caller
LEFT JOIN attempt_dialog d ON d.attempt = a.seq
WHERE l.rescuer = $1 AND a.state < 4
ORDER BY a.seq
LIMIT $2
