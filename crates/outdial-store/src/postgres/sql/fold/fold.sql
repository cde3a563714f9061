-- Folds what the batches with deltas among $1 < seq <= $2 have, from where each was folded to.
WITH folded AS (
  DELETE FROM batch_delta d
  USING batch_total t
  WHERE t.shard = -1 AND d.batch = t.batch AND d.seq > t.upto AND d.seq <= $2
    AND t.batch IN (SELECT batch FROM batch_delta WHERE seq > $1 AND seq <= $2)
  RETURNING d.*
), totals AS (
  UPDATE batch_total t SET upto = $2,
    pending = t.pending + f.pending, live = t.live + f.live,
    finished = t.finished + f.finished, picked = t.picked + f.picked,
    completed = t.completed + f.completed, used_s = t.used_s + f.used_s,
    used_micros = t.used_micros + f.used_micros, ended = t.ended + f.ended,
    failed = t.failed + f.failed, answered = t.answered + f.answered,
    short = t.short + f.short, voicemail = t.voicemail + f.voicemail,
    talk_ms = t.talk_ms + f.talk_ms
  FROM (
    SELECT batch,
      sum(pending)::BIGINT AS pending, sum(live)::BIGINT AS live,
      sum(finished)::BIGINT AS finished, sum(picked)::BIGINT AS picked,
      sum(completed)::BIGINT AS completed, sum(used_s)::BIGINT AS used_s,
      sum(used_micros)::BIGINT AS used_micros, sum(ended)::BIGINT AS ended,
      sum(failed)::BIGINT AS failed, sum(answered)::BIGINT AS answered,
      sum(short)::BIGINT AS short, sum(voicemail)::BIGINT AS voicemail,
      sum(talk_ms)::BIGINT AS talk_ms
    FROM folded
    GROUP BY batch
  ) f
  WHERE t.batch = f.batch AND t.shard = -1
), used AS (
  INSERT INTO batch_use AS u (batch, day, shard, seconds, micros)
  SELECT batch, day, 0, sum(used_s)::BIGINT, sum(used_micros)::BIGINT
  FROM folded
  WHERE used_s <> 0 OR used_micros <> 0
  GROUP BY batch, day
  ON CONFLICT (batch, day, shard) DO UPDATE
    SET seconds = u.seconds + excluded.seconds, micros = u.micros + excluded.micros
)
INSERT INTO batch_pulse AS p
  (batch, minute, shard, ended, failed, answered, short, voicemail, talk_ms)
SELECT batch, minute, 0,
  sum(ended)::BIGINT, sum(failed)::BIGINT, sum(answered)::BIGINT, sum(short)::BIGINT,
  sum(voicemail)::BIGINT, sum(talk_ms)::BIGINT
FROM folded
WHERE ended <> 0
GROUP BY batch, minute
ON CONFLICT (batch, minute, shard) DO UPDATE SET ended = p.ended + excluded.ended,
  failed = p.failed + excluded.failed, answered = p.answered + excluded.answered,
  short = p.short + excluded.short, voicemail = p.voicemail + excluded.voicemail,
  talk_ms = p.talk_ms + excluded.talk_ms
