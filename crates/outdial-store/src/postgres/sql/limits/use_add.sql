INSERT INTO batch_use AS u (batch, day, shard, seconds, micros) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (batch, day, shard) DO UPDATE
  SET seconds = u.seconds + excluded.seconds, micros = u.micros + excluded.micros
