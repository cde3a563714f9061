INSERT INTO dispatch_slots (workspace, kind, line, slots)
SELECT $1, q.kind, q.line, q.slots FROM unnest($2, $3, $4) AS q (kind, line, slots)
ON CONFLICT (workspace, kind, line) DO UPDATE SET slots = excluded.slots
