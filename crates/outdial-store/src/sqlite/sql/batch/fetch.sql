SELECT b.seq, b.created_at, w.seq, w.created_at, u.seq, u.created_at, b.name, b.settings, b.state,
  b.pause_reason, b.lane, b.updated_at, b.next_lane,
  sum(t.total), sum(t.pending), sum(t.live), sum(t.finished), sum(t.picked), sum(t.completed)
FROM batch b
JOIN workspace w ON w.seq = b.workspace
JOIN workspace_user u ON u.workspace = w.seq
JOIN batch_total t ON t.batch = b.seq
WHERE b.seq = ?1 AND b.created_at / 1000 = ?2 AND b.state NOT IN ('deleted', 'importing')
GROUP BY b.seq
