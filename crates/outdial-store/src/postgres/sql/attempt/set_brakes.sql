UPDATE batch b SET brake = q.brake
FROM unnest($2, $3, $4) AS q (seq, secs, brake)
WHERE b.seq = q.seq AND b.created_at / 1000 = q.secs AND b.workspace = $1 AND b.state = 'active'
