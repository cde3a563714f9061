INSERT INTO node
  (instance, id, name, host, role, address, version, started_at, beat_at, wall_apart_ms, live)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 0, 0)
ON CONFLICT DO NOTHING
