SELECT seq, created_at
FROM workspace
WHERE EXISTS (SELECT 1 FROM batch b WHERE b.workspace = workspace.seq AND b.state = 'active')
ORDER BY seq
