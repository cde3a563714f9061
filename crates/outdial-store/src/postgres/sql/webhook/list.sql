SELECT h.seq, h.created_at, w.seq, w.created_at, h.url, h.description, h.events, h.secret,
  h.old_secret, h.old_secret_until, h.disabled_at, h.disabled_reason, h.failing_since, h.updated_at
FROM webhook h
JOIN workspace w ON w.seq = h.workspace
WHERE h.workspace = $1 AND h.deleted_at IS NULL
ORDER BY h.seq
