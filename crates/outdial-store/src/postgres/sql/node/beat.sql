UPDATE node SET beat_at = $2, wall_apart_ms = $3, live = $4, not_dialing = $5
WHERE instance = $1 AND left_at IS NULL
