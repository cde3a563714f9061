SELECT b.seq, p.seq, p.created_at, p.number, p.calls_per_second, p.channels,
  t.seq, t.created_at, t.calls_per_second, t.channels, t.paused_until
FROM batch b
JOIN batch_number n ON n.batch = b.seq
JOIN phone p ON p.seq = n.phone
JOIN trunk t ON t.seq = p.trunk
WHERE b.workspace = ?1 AND b.state = 'active'
ORDER BY b.seq, n.pos
