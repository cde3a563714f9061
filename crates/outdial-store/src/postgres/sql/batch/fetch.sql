-- Calls are added without writing the batch's row: when they were stands with the totals.
SELECT b.seq, b.created_at, w.seq, w.created_at, u.seq, u.created_at, b.name, b.settings, b.state,
  b.pause_reason, b.lane, greatest(b.updated_at, t.added_at), b.next_lane,
  t.total, t.pending, t.live, t.finished, t.picked, t.completed,
  ARRAY(
    SELECT p.seq FROM batch_number n JOIN phone p ON p.seq = n.phone
    WHERE n.batch = b.seq ORDER BY n.pos),
  ARRAY(
    SELECT p.created_at FROM batch_number n JOIN phone p ON p.seq = n.phone
    WHERE n.batch = b.seq ORDER BY n.pos)
FROM batch b
JOIN workspace w ON w.seq = b.workspace
JOIN workspace_user u ON u.workspace = w.seq
CROSS JOIN LATERAL (
  SELECT sum(total)::BIGINT AS total, sum(pending)::BIGINT AS pending, sum(live)::BIGINT AS live,
    sum(finished)::BIGINT AS finished, sum(picked)::BIGINT AS picked,
    sum(completed)::BIGINT AS completed, max(updated_at) AS added_at
  FROM (
    SELECT total, pending, live, finished, picked, completed, updated_at
    FROM batch_total
    WHERE batch = b.seq
    UNION ALL
    SELECT 0, pending, live, finished, picked, completed, 0
    FROM batch_delta
    WHERE batch = b.seq
      AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = b.seq), 0)
  ) counted
) t
WHERE b.seq = ANY ($1) AND b.state NOT IN ('deleted', 'importing')
ORDER BY b.seq DESC
