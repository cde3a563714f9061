UPDATE trunk SET paused_until = NULL WHERE paused_until > $1
