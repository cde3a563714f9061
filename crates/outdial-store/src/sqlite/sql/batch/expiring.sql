-- Batches that have expired with calls pending, those that expired first before the others.
SELECT b.seq, b.workspace
FROM batch b INDEXED BY batch_expiring
WHERE b.expires_at IS NOT NULL AND b.state <> 'completed' AND b.state <> 'deleted'
  AND b.state <> 'importing'
  AND b.expires_at <= ?1
  AND (SELECT sum(t.pending) FROM batch_total t WHERE t.batch = b.seq) > 0
ORDER BY b.expires_at, b.seq
LIMIT ?2
