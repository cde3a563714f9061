SELECT d.version, w.settings
FROM workspace w
JOIN dispatch d ON d.workspace = w.seq
WHERE w.seq = $1 AND w.created_at / 1000 = $2
