-- Batches that have expired with calls pending, those that expired first before the others. $3: of
-- these workspaces, or of all.
SELECT b.seq, b.workspace
FROM batch b
WHERE b.expires_at IS NOT NULL AND b.state <> 'completed' AND b.state <> 'deleted'
  AND b.state <> 'importing'
  AND b.expires_at <= $1
  AND ($3::BIGINT[] IS NULL OR b.workspace = ANY ($3))
  AND (
    SELECT sum(counted.pending)
    FROM (
      SELECT pending FROM batch_total WHERE batch = b.seq
      UNION ALL
      SELECT pending
      FROM batch_delta
      WHERE batch = b.seq
        AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = b.seq), 0)
    ) counted
  ) > 0
ORDER BY b.expires_at, b.seq
LIMIT $2
