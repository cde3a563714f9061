-- Of all the workspace's numbers that are not deleted, in their order of preference.
SELECT n.phone, n.pos, t.seq, t.created_at, t.calls_per_second, t.channels, t.paused_until,
  t.health = 'down', t.max_call_s
FROM phone p
JOIN phone_trunk n ON n.phone = p.seq
JOIN trunk t ON t.seq = n.trunk
WHERE p.workspace = $1 AND p.deleted_at IS NULL
ORDER BY n.phone, n.pos
