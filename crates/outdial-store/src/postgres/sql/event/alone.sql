-- The last of their deliveries is gone.
UPDATE event e SET is_sent = FALSE
WHERE e.seq = ANY ($1) AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq)
