-- The latest attempt of this process, and of the others only the latest: that is what each of them
-- is told of the rest.
WITH mine AS (
  INSERT INTO attempt_latest (workspace, owner, attempt) VALUES ($1, $2, $3)
  ON CONFLICT (workspace, owner) DO UPDATE SET attempt = excluded.attempt
)
DELETE FROM attempt_latest l
WHERE l.workspace = $1 AND l.owner <> $2 AND EXISTS (
  SELECT 1 FROM attempt_latest o
  WHERE o.workspace = $1 AND o.owner <> $2 AND o.attempt > l.attempt)
