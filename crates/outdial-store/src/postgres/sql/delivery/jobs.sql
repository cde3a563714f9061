SELECT e.seq, e.created_at, w.seq, w.created_at, e.position, e.kind, b.seq, b.created_at, e.data,
  d.seq, d.created_at, d.sequence, d.tries, d.first_at, d.webhook
FROM delivery d
JOIN event e ON e.seq = d.event
JOIN workspace w ON w.seq = e.workspace
LEFT JOIN batch b ON b.seq = e.batch
WHERE d.seq = ANY ($1)
ORDER BY d.first_at, d.seq
