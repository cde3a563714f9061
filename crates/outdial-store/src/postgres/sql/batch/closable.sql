-- Active and paused ones with nothing live and nothing pending; and active ones with nothing
-- pending that may be placed. The flag says whether anything is pending at all. $2: among these,
-- or all.
SELECT b.seq, b.created_at, b.workspace, b.pause_reason, t.pending > 0
FROM batch b
CROSS JOIN LATERAL (
  SELECT sum(live) AS live, sum(pending) AS pending
  FROM (
    SELECT live, pending FROM batch_total WHERE batch = b.seq
    UNION ALL
    SELECT live, pending
    FROM batch_delta
    WHERE batch = b.seq
      AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = b.seq), 0)
  ) counted
) t
WHERE (b.state = 'active' OR b.state = 'paused')
  AND ($2::BIGINT[] IS NULL OR b.seq = ANY ($2))
  AND t.live = 0 AND (t.pending = 0 OR (b.state = 'active' AND b.lane IS NOT NULL
    AND NOT EXISTS (
      SELECT 1 FROM call c WHERE c.state = 0 AND c.batch = b.seq AND c.lane = b.lane)))
ORDER BY b.seq
LIMIT $1
