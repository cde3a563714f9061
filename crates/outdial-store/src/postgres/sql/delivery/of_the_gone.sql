-- What processes have claimed that are gone, or not heard of after $3, is due; one that has not
-- joined has it for its lease.
UPDATE delivery d SET owner = NULL, next_at = least(d.next_at, $2)
WHERE d.owner IS NOT NULL AND d.owner <> $1 AND d.state = 0
  AND EXISTS (
    SELECT 1 FROM node n
    WHERE n.instance = d.owner AND (n.left_at IS NOT NULL OR n.beat_at <= $3))
