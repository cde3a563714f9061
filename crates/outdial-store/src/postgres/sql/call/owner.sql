-- The batch of a call that may be shown to this workspace.
SELECT b.seq, b.created_at
FROM call c
JOIN batch b ON b.seq = c.batch
WHERE c.seq = $1 AND c.created_at / 1000 = $2 AND b.workspace = $3
  AND b.state NOT IN ('deleted', 'importing')
