SELECT n.phone, t.seq, t.created_at
FROM phone_trunk n
JOIN trunk t ON t.seq = n.trunk
WHERE n.phone = ANY ($1)
ORDER BY n.phone, n.pos
