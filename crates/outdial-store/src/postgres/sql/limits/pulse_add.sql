INSERT INTO batch_pulse AS p
  (batch, minute, shard, ended, failed, answered, short, voicemail, talk_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (batch, minute, shard) DO UPDATE SET ended = p.ended + excluded.ended,
  failed = p.failed + excluded.failed, answered = p.answered + excluded.answered,
  short = p.short + excluded.short, voicemail = p.voicemail + excluded.voicemail,
  talk_ms = p.talk_ms + excluded.talk_ms
