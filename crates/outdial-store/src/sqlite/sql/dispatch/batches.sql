-- The active batches, and one that is asked for besides (?2 and ?3; NULL: none).
WITH asked (seq) AS (
  SELECT seq FROM batch WHERE workspace = ?1 AND state = 'active'
  UNION ALL
  SELECT seq FROM batch
  WHERE seq = ?2 AND created_at / 1000 = ?3 AND workspace = ?1 AND state <> 'active'
)
SELECT b.seq, b.created_at, b.settings, b.lane, t.used_s, t.used_micros, t.ended, t.failed,
  t.answered, t.short, t.voicemail, t.talk_ms, b.brake
FROM asked q
CROSS JOIN batch b ON b.seq = q.seq
JOIN batch_total t ON t.batch = b.seq AND t.shard = 0
