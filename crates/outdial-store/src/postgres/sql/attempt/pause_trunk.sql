-- The later instant wins, unless it is later ($3) than any pause can end: that was another clock.
UPDATE trunk
SET paused_until = CASE WHEN paused_until > $2 AND paused_until <= $3 THEN paused_until ELSE $2 END
WHERE seq = $1
