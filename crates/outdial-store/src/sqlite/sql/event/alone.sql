-- The last of its deliveries is gone.
UPDATE event SET is_sent = 0
WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = event.seq)
