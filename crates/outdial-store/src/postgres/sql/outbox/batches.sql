-- Batches as they stand.
SELECT b.seq, b.created_at, b.name, b.state, b.pause_reason,
  t.total, t.pending, t.live, t.finished, t.picked, t.completed
FROM batch b
CROSS JOIN LATERAL (
  SELECT sum(total)::BIGINT AS total, sum(pending)::BIGINT AS pending, sum(live)::BIGINT AS live,
    sum(finished)::BIGINT AS finished, sum(picked)::BIGINT AS picked,
    sum(completed)::BIGINT AS completed
  FROM (
    SELECT total, pending, live, finished, picked, completed
    FROM batch_total
    WHERE batch = b.seq
    UNION ALL
    SELECT 0, pending, live, finished, picked, completed
    FROM batch_delta
    WHERE batch = b.seq
      AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = b.seq), 0)
  ) counted
) t
WHERE b.seq = ANY ($1)
ORDER BY b.seq
