-- Batches in which something waits, from their totals: no call is looked at.
SELECT b.seq, b.state, sum(t.pending)
FROM batch b
JOIN batch_total t ON t.batch = b.seq
WHERE b.state NOT IN ('completed', 'deleted', 'importing')
GROUP BY b.seq
HAVING sum(t.pending) > 0
ORDER BY b.seq
