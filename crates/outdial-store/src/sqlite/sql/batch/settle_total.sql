-- As batch/add_total, with what an attempt used and how it ended.
UPDATE batch_total SET total = total + ?2, pending = pending + ?3, live = live + ?4,
  finished = finished + ?5, picked = picked + ?6, completed = completed + ?7,
  used_s = used_s + ?8, used_micros = used_micros + ?9, ended = ended + ?10,
  failed = failed + ?11, answered = answered + ?12, short = short + ?13,
  voicemail = voicemail + ?14, talk_ms = talk_ms + ?15
WHERE batch = ?1 AND shard = 0
