INSERT INTO event_pruned (workspace, position) VALUES (?1, ?2)
ON CONFLICT (workspace) DO UPDATE SET position = max(position, excluded.position)
