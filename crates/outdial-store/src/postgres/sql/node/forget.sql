DELETE FROM node WHERE beat_at <= $1
