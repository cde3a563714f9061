INSERT INTO workspace (created_at, name, settings) VALUES (?1, ?2, ?3)
