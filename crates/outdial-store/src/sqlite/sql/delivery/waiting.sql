-- Endpoints that something is due for, the one that waits longest first.
SELECT w.seq, (SELECT min(d.next_at) FROM delivery d WHERE d.webhook = w.seq AND d.state = 0) AS due
FROM webhook w
WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL AND due <= ?1
ORDER BY due, w.seq
