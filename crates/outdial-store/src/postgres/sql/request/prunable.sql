-- With its chunks. What somebody has in work stays, whatever the clock was set to: its chunks are
-- still to come. Another node that prunes takes others.
SELECT r.seq, (SELECT count(*) FROM request_chunk c WHERE c.request = r.seq)
FROM request r
WHERE r.expires_at <= $1
  AND NOT (coalesce(r.owner = $2, FALSE) OR EXISTS (
    SELECT 1 FROM node n
    WHERE n.instance = r.owner AND n.left_at IS NULL AND n.beat_at > $3))
ORDER BY r.expires_at
LIMIT $4
FOR UPDATE OF r SKIP LOCKED
