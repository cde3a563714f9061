INSERT INTO batch_delta (batch, day, minute, pending, live, finished, picked, completed, used_s,
  used_micros, ended, failed, answered, short, voicemail, talk_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
