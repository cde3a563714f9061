SELECT min(first.next_at)
FROM webhook w
CROSS JOIN LATERAL (
  SELECT next_at FROM delivery WHERE webhook = w.seq AND state = 0 ORDER BY next_at, seq LIMIT 1
) first
WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL
