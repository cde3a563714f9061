INSERT INTO number_day AS n (phone, day, placed)
SELECT q.phone, q.day, q.placed FROM unnest($1, $2, $3) AS q (phone, day, placed)
ON CONFLICT (phone, day) DO UPDATE SET placed = n.placed + excluded.placed
