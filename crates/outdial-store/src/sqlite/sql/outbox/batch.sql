-- A batch as it stands.
SELECT b.seq, b.created_at, b.name, b.state, b.pause_reason,
  sum(t.total), sum(t.pending), sum(t.live), sum(t.finished), sum(t.picked), sum(t.completed)
FROM batch b
JOIN batch_total t ON t.batch = b.seq
WHERE b.seq = ?1
GROUP BY b.seq
