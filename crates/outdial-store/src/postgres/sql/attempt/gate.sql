-- Bumps the version that a plan rests on ($2), if the database holds the plan's mark ($3 and $4;
-- NULL: none) and this node ($5) was heard of after $6. Whoever changes a limit bumps it first, so
-- the statements behind this one see what holds until the commit.
WITH asked (knows, alive) AS (
  SELECT
    $3 IS NULL OR EXISTS (SELECT 1 FROM attempt WHERE seq = $3 AND token = $4),
    EXISTS (SELECT 1 FROM node WHERE instance = $5 AND left_at IS NULL AND beat_at > $6)
), bumped AS (
  UPDATE dispatch SET version = version + 1
  FROM asked
  WHERE workspace = $1 AND version = $2 AND knows AND alive
  RETURNING 1
)
SELECT knows, alive, EXISTS (SELECT 1 FROM bumped) FROM asked
