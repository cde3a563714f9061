-- Two of a workspace are enough, one of them is not the asker's; who may still write its own keeps
-- it.
DELETE FROM attempt_latest t
WHERE (SELECT count(*) FROM attempt_latest o
       WHERE o.workspace = t.workspace AND o.attempt > t.attempt) >= 2
  AND NOT EXISTS (SELECT 1 FROM node n WHERE n.instance = t.owner AND n.left_at IS NULL)
