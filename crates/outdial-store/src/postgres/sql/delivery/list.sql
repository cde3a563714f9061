SELECT d.seq, d.created_at, e.seq, e.created_at, e.kind, b.seq, b.created_at, d.sequence, d.state,
  d.next_at
FROM delivery d
JOIN event e ON e.seq = d.event
LEFT JOIN batch b ON b.seq = e.batch
WHERE d.webhook = $1 AND ($2 IS NULL OR d.state = $2)
ORDER BY d.seq DESC
LIMIT $3 OFFSET $4
