-- Deltas of several batches, each into the same shard of its totals. The newest time at which
-- calls were added is kept.
INSERT INTO batch_total AS t
  (batch, shard, total, pending, live, finished, picked, completed, updated_at)
SELECT d.batch, $1, d.pending + d.live + d.finished, d.pending, d.live, d.finished, d.picked,
  d.completed, $2
FROM unnest($3, $4, $5, $6, $7, $8) AS d (batch, pending, live, finished, picked, completed)
ORDER BY d.batch
ON CONFLICT (batch, shard) DO UPDATE SET total = t.total + excluded.total,
  pending = t.pending + excluded.pending, live = t.live + excluded.live,
  finished = t.finished + excluded.finished, picked = t.picked + excluded.picked,
  completed = t.completed + excluded.completed,
  updated_at = greatest(t.updated_at, excluded.updated_at)
