-- Attempts that belong to a process not heard of after $2, or gone, become this one's ($1), which
-- must be alive itself; as many as it may have at once ($3). Who has them is asked of `attempt`:
-- that row is locked, and looked at once more if another process was quicker.
WITH gone AS (
  SELECT a.seq, l.workspace, l.phone
  FROM live l
  JOIN attempt a ON a.seq = l.attempt
  WHERE coalesce(l.rescuer, l.owner) <> $1
    AND EXISTS (
      SELECT 1 FROM node n WHERE n.instance = $1 AND n.left_at IS NULL AND n.beat_at > $2)
    AND NOT EXISTS (
      SELECT 1 FROM node n
      WHERE n.instance = coalesce(l.rescuer, l.owner) AND n.left_at IS NULL AND n.beat_at > $2)
    AND coalesce(a.rescuer, a.owner) = coalesce(l.rescuer, l.owner) AND a.state < 4
  ORDER BY a.seq
  LIMIT greatest(0, $3 - (SELECT count(*) FROM live WHERE rescuer = $1))
  FOR UPDATE OF a SKIP LOCKED
), taken AS (
  UPDATE attempt a SET rescuer = $1 FROM gone g WHERE a.seq = g.seq
)
UPDATE live l SET rescuer = $1
FROM gone g
WHERE l.workspace = g.workspace AND l.phone = g.phone AND l.attempt = g.seq
