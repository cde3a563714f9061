SELECT a.state, a.trunk, a.caller, c.seq, c.phone, c.picked, b.seq, b.workspace,
  b.state = 'deleted', b.expires_at, w.do_not_call OR b.enable_dnc, l.day, l.cancel_requested,
  l.reserve_s, l.reserve_micros, coalesce(a.rescuer, a.owner)
FROM attempt a
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
JOIN workspace w ON w.seq = b.workspace
LEFT JOIN live l ON l.workspace = b.workspace AND l.phone = c.phone AND l.attempt = a.seq
WHERE a.seq = ?1 AND a.created_at / 1000 = ?2
