SELECT p.seq, p.created_at, w.seq, w.created_at, p.number, p.integration, a.seq, a.created_at,
  p.calls_per_second, p.channels, p.calls_per_day, p.price
FROM phone p
JOIN workspace w ON w.seq = p.workspace
LEFT JOIN agent a ON a.seq = p.agent
WHERE p.workspace = $1 AND p.deleted_at IS NULL
ORDER BY p.seq
