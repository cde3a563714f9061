-- An end that pauses a trunk ($3), or took more than its reserve, may spoil plans: whoever bumps
-- the version locks it before anything else.
SELECT 1
FROM attempt a
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
JOIN dispatch d ON d.workspace = b.workspace
LEFT JOIN live l ON l.workspace = b.workspace AND l.phone = c.phone AND l.attempt = a.seq
WHERE a.seq = $1 AND a.created_at / 1000 = $2 AND a.state < 4
  AND ($3 OR $4 > coalesce(l.reserve_s, 0) OR $5 > coalesce(l.reserve_micros, 0))
FOR NO KEY UPDATE OF d
