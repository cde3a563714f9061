INSERT INTO batch (created_at, updated_at, workspace, name, settings, state, next_lane)
VALUES (?1, ?1, ?2, ?3, ?4, 'pending', 1)
