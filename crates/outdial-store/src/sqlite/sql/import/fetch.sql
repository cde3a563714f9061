-- One that is still going on.
SELECT b.workspace,
  (SELECT coalesce(sum(t.total), 0) FROM batch_total t WHERE t.batch = b.seq),
  (SELECT coalesce(sum(t.finished), 0) FROM batch_total t WHERE t.batch = b.seq)
FROM import i
JOIN batch b ON b.seq = i.batch
WHERE i.batch = ?1 AND i.request = ?2 AND b.state = 'importing'
