DELETE FROM node WHERE beat_at <= $1 AND instance <> $2
