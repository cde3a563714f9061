SELECT min((SELECT min(d.next_at) FROM delivery d WHERE d.webhook = w.seq AND d.state = 0))
FROM webhook w
WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL
