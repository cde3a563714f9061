-- As batch/add_totals of one batch, with what an attempt used and how it ended.
INSERT INTO batch_total AS t
  (batch, shard, total, pending, live, finished, picked, completed, used_s, used_micros, ended,
   failed, answered, short, voicemail, talk_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (batch, shard) DO UPDATE SET total = t.total + excluded.total,
  pending = t.pending + excluded.pending, live = t.live + excluded.live,
  finished = t.finished + excluded.finished, picked = t.picked + excluded.picked,
  completed = t.completed + excluded.completed, used_s = t.used_s + excluded.used_s,
  used_micros = t.used_micros + excluded.used_micros, ended = t.ended + excluded.ended,
  failed = t.failed + excluded.failed, answered = t.answered + excluded.answered,
  short = t.short + excluded.short, voicemail = t.voicemail + excluded.voicemail,
  talk_ms = t.talk_ms + excluded.talk_ms
