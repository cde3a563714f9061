SELECT w.seq, w.created_at
FROM workspace w
WHERE EXISTS (SELECT 1 FROM batch b WHERE b.workspace = w.seq AND b.state = 'active')
ORDER BY w.seq
