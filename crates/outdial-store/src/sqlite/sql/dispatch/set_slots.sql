INSERT INTO dispatch_slots (workspace, kind, line, slots) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET slots = excluded.slots
