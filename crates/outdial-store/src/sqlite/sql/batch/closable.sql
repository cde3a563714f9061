-- Active and paused ones with nothing live and nothing pending; and active ones with nothing
-- pending that may be placed. The flag says whether anything is pending at all.
SELECT b.seq, b.created_at, b.workspace, b.pause_reason, sum(t.pending) > 0
FROM batch b INDEXED BY batch_closable
JOIN batch_total t ON t.batch = b.seq
WHERE b.state = 'active' OR b.state = 'paused'
GROUP BY b.seq
HAVING sum(t.live) = 0 AND (sum(t.pending) = 0 OR (b.state = 'active' AND b.lane IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM call c WHERE c.state = 0 AND c.batch = b.seq AND c.lane = b.lane)))
ORDER BY b.seq
LIMIT ?1
