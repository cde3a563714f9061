INSERT INTO live (workspace, phone, batch, attempt, caller, trunk, owner)
VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)
ON CONFLICT DO NOTHING
