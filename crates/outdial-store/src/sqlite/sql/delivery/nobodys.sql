-- Of endpoints that are deleted, and pending ones of endpoints disabled for long. CROSS JOIN: the
-- endpoints first, which are few.
SELECT d.seq, d.webhook, d.event, d.batch, d.sequence
FROM webhook w
CROSS JOIN delivery d ON d.webhook = w.seq
WHERE w.deleted_at IS NOT NULL OR (w.disabled_at <= ?1 AND d.state = 0)
LIMIT ?2
