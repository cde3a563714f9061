-- Of these batches, those that are left without a number: active, or made ready by calls that were
-- added; a batch that has neither waits as it is.
UPDATE batch b SET updated_at = $2, state = 'paused', pause_reason = 'no_numbers'
WHERE b.seq = ANY ($1)
  AND NOT EXISTS (SELECT 1 FROM batch_number n WHERE n.batch = b.seq)
  AND (b.state = 'active' OR (b.state = 'pending' AND EXISTS (
    SELECT 1 FROM call c WHERE c.state = 0 AND c.batch = b.seq)))
RETURNING b.seq
