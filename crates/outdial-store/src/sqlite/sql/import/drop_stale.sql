-- Imports whose request is not in work.
UPDATE batch SET state = 'deleted', updated_at = ?1
WHERE state = 'importing' AND seq IN (
  SELECT i.batch
  FROM import i
  LEFT JOIN request r ON r.seq = i.request
  WHERE r.seq IS NULL OR r.owner IS NULL OR r.owner <> ?2 OR r.lease_until <= ?1)
