-- Active, or made ready by calls that were added; a batch that has neither waits as it is.
UPDATE batch SET updated_at = ?2, state = 'paused', pause_reason = 'no_numbers'
WHERE seq = ?1 AND (state = 'active' OR (state = 'pending' AND EXISTS (
  SELECT 1 FROM call WHERE call.state = 0 AND call.batch = batch.seq)))
