INSERT INTO number_day (phone, day, placed) VALUES (?1, ?2, ?3)
ON CONFLICT (phone, day) DO UPDATE SET placed = placed + excluded.placed
