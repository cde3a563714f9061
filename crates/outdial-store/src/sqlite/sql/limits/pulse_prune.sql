DELETE FROM batch_pulse
WHERE (batch, minute) IN (
  SELECT batch, minute FROM batch_pulse WHERE minute < ?1 ORDER BY minute LIMIT ?2)
