SELECT seq, workspace, position FROM event
WHERE is_sent = 0 AND numbered_at <= ?1
ORDER BY numbered_at
LIMIT ?2
