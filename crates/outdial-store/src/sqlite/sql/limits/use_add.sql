INSERT INTO batch_use (batch, day, seconds, micros) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (batch, day) DO UPDATE
  SET seconds = seconds + excluded.seconds, micros = micros + excluded.micros
