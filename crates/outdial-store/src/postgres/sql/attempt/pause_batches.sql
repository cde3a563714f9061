UPDATE batch b SET updated_at = $2, state = 'paused', pause_reason = q.reason
FROM unnest($3, $4, $5) AS q (seq, secs, reason)
WHERE b.seq = q.seq AND b.created_at / 1000 = q.secs AND b.workspace = $1 AND b.state = 'active'
RETURNING b.seq
