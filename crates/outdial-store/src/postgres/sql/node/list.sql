SELECT id, name, host, role, address, version, started_at, beat_at, left_at, wall_apart_ms, live,
  not_dialing
FROM node
WHERE beat_at > $1
ORDER BY name, started_at, instance
