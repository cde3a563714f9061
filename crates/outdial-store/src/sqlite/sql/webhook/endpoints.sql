-- Those of a workspace that get events.
SELECT seq, events FROM webhook
WHERE workspace = ?1 AND deleted_at IS NULL AND disabled_at IS NULL
ORDER BY seq
