-- The active batches, and one that is asked for besides ($2 and $3; NULL: none).
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = $1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = $2 AND created_at / 1000 = $3 AND workspace = $1 AND state <> 'active'
)
SELECT b.seq, b.created_at, b.settings, b.lane, t.used_s, t.used_micros, t.ended, t.failed,
  t.answered, t.short, t.voicemail, t.talk_ms, b.brake
FROM asked q
JOIN batch b ON b.seq = q.seq
CROSS JOIN LATERAL (
  SELECT sum(used_s)::BIGINT AS used_s, sum(used_micros)::BIGINT AS used_micros,
    sum(ended)::BIGINT AS ended, sum(failed)::BIGINT AS failed,
    sum(answered)::BIGINT AS answered, sum(short)::BIGINT AS short,
    sum(voicemail)::BIGINT AS voicemail, sum(talk_ms)::BIGINT AS talk_ms
  FROM (
    SELECT used_s, used_micros, ended, failed, answered, short, voicemail, talk_ms
    FROM batch_total
    WHERE batch = b.seq
    UNION ALL
    SELECT used_s, used_micros, ended, failed, answered, short, voicemail, talk_ms
    FROM batch_delta
    WHERE batch = b.seq
      AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = b.seq), 0)
  ) counted
) t
