SELECT a.seq, a.created_at, c.seq, c.created_at, b.seq, b.created_at, b.state = 'deleted',
  b.settings, c.phone, t.seq, t.created_at, c.round, c.charged, c.uncharged, a.number, a.state,
  a.sent_at, a.ringing_at, a.answered_at, a.token, l.reserve_s, l.reserve_micros, l.price,
  t.integration, t.ring_timeout_ms,
  (SELECT count(*) FROM phone_trunk n WHERE n.phone = a.caller), p.number, a.send_by, d.dialog
FROM attempt a
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
JOIN trunk t ON t.seq = a.trunk
JOIN phone p ON p.seq = a.caller
LEFT JOIN live l ON l.workspace = b.workspace AND l.phone = c.phone AND l.attempt = a.seq
LEFT JOIN attempt_dialog d ON d.attempt = a.seq
WHERE a.seq = $1 AND a.created_at / 1000 = $2 AND a.state < 4
