-- Facts that are committed by now. Below $1 there is none and never will be; rows that were taken
-- may stay there for as long as somebody holds an old snapshot.
WITH taken AS (
  DELETE FROM outbox
  WHERE seq = ANY (ARRAY(SELECT seq FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2))
  RETURNING *
)
SELECT o.seq, o.kind, o.at, o.batch, coalesce(b.workspace, w.workspace), o.subject, o.attempt,
  o.attempts, o.round, o.disposition, o.reason, o.facts
FROM taken o
LEFT JOIN batch b ON b.seq = o.batch
LEFT JOIN webhook w ON o.kind = 6 AND w.seq = o.subject
ORDER BY o.seq
