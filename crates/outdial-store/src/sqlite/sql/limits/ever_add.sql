INSERT INTO batch_ever
  (batch, seconds, micros, ended, failed, answered, short, voicemail, talk_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (batch) DO UPDATE SET seconds = seconds + excluded.seconds,
  micros = micros + excluded.micros, ended = ended + excluded.ended,
  failed = failed + excluded.failed, answered = answered + excluded.answered,
  short = short + excluded.short, voicemail = voicemail + excluded.voicemail,
  talk_ms = talk_ms + excluded.talk_ms
