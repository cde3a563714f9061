SELECT c.seq, c.created_at, b.seq, b.created_at, c.phone, f.fields, k.text, c.state,
  b.lane IS NOT NULL AND b.lane <> c.lane, c.round, c.charged, c.uncharged, c.attempts,
  c.disposition, c.disposition_reason, c.not_before, c.wait_reason, c.updated_at,
  c.lane, c.class, c.is_retry
FROM call c
JOIN batch b ON b.seq = c.batch
JOIN call_fields f ON f.seq = c.seq
JOIN class k ON k.id = c.class
WHERE c.seq = ANY ($1)
