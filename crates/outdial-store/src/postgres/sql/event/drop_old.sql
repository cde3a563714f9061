-- Those that can be read no longer and have no delivery; remembers up to where they were.
WITH gone AS (
  DELETE FROM event
  WHERE seq = ANY (ARRAY(
    SELECT seq FROM event
    WHERE NOT is_sent AND numbered_at <= $1
    ORDER BY numbered_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED))
  RETURNING workspace, position
), pruned AS (
  INSERT INTO event_pruned AS p (workspace, position)
  SELECT workspace, max(position) FROM gone GROUP BY workspace ORDER BY workspace
  ON CONFLICT (workspace) DO UPDATE SET position = greatest(p.position, excluded.position)
)
SELECT count(*) FROM gone
