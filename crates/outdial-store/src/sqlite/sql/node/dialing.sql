SELECT count(*) FROM node WHERE left_at IS NULL AND not_dialing IS NULL AND beat_at > ?1
