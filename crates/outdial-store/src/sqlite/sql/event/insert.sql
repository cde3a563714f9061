INSERT INTO event (created_at, workspace, position, kind, batch, data, numbered_at, is_sent)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
