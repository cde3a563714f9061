-- Those of a group of retries that were tried more often than ?5 allows finish as their latest
-- attempt that counts did.
UPDATE call SET state = 2, wait_reason = NULL, disposition_reason = NULL, updated_at = ?6,
  disposition = (
    SELECT a.disposition FROM attempt a
    WHERE a.call = call.seq AND a.charged = 1
    ORDER BY a.number DESC LIMIT 1)
WHERE state = 0 AND batch = ?1 AND lane = ?2 AND class = ?3 AND is_retry = ?4 AND charged > ?5
RETURNING seq, disposition = 'completed'
