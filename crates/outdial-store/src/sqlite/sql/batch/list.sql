-- `contains` is ours: case-insensitive beyond ASCII, and no character is a wildcard.
SELECT b.seq, b.created_at, w.seq, w.created_at, u.seq, u.created_at, b.name, b.settings, b.state,
  b.pause_reason, b.lane, b.updated_at, b.next_lane,
  sum(t.total), sum(t.pending), sum(t.live), sum(t.finished), sum(t.picked), sum(t.completed)
FROM batch b
JOIN workspace w ON w.seq = b.workspace
JOIN workspace_user u ON u.workspace = w.seq
JOIN batch_total t ON t.batch = b.seq
WHERE b.seq IN (
  SELECT seq FROM batch
  WHERE workspace = ?1 AND state NOT IN ('deleted', 'importing')
    AND (?2 IS NULL OR contains(name, ?2) OR contains(state, ?2))
  ORDER BY seq DESC
  LIMIT ?3 OFFSET ?4
)
GROUP BY b.seq
ORDER BY b.seq DESC
