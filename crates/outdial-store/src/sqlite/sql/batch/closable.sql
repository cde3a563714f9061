-- Active ones with nothing live and nothing pending that may be placed; the flag says whether
-- anything is pending at all. A batch that lost its last number is done when it has no calls left.
SELECT b.seq, b.created_at, b.workspace, sum(t.pending) > 0
FROM batch b INDEXED BY batch_closable
JOIN batch_total t ON t.batch = b.seq
WHERE b.state = 'active' OR b.pause_reason = 'no_numbers'
GROUP BY b.seq
HAVING sum(t.live) = 0 AND (sum(t.pending) = 0 OR (b.state = 'active' AND b.lane IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM call c WHERE c.state = 0 AND c.batch = b.seq AND c.lane = b.lane)))
ORDER BY b.seq
LIMIT ?1
