-- Those of these workspaces that get events.
SELECT workspace, seq, events FROM webhook
WHERE workspace = ANY ($1) AND deleted_at IS NULL AND disabled_at IS NULL
ORDER BY seq
