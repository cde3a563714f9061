SELECT w.seq, w.created_at, d.version
FROM workspace w
JOIN dispatch d ON d.workspace = w.seq
ORDER BY w.seq
