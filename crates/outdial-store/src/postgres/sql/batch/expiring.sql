-- Batches that have expired with calls pending, those that expired first before the others. $3: of
-- these workspaces, or of all.
SELECT b.seq, b.workspace
FROM batch b
WHERE b.expires_at IS NOT NULL AND b.state <> 'completed' AND b.state <> 'deleted'
  AND b.expires_at <= $1
  AND ($3::BIGINT[] IS NULL OR b.workspace = ANY ($3))
  AND (SELECT sum(t.pending) FROM batch_total t WHERE t.batch = b.seq) > 0
ORDER BY b.expires_at, b.seq
LIMIT $2
