SELECT w.seq, w.created_at, u.seq, u.created_at, w.name
FROM workspace w
JOIN workspace_user u ON u.workspace = w.seq
ORDER BY w.seq
