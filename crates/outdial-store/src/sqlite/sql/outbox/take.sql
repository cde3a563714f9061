-- One writer: the order of the rows is that of their commits.
SELECT o.seq, o.kind, o.at, o.batch, coalesce(b.workspace, w.workspace), o.subject, o.attempt,
  o.attempts, o.round, o.disposition, o.reason, o.facts
FROM outbox o
LEFT JOIN batch b ON b.seq = o.batch
LEFT JOIN webhook w ON o.kind = 6 AND w.seq = o.subject
ORDER BY o.seq
LIMIT ?1
