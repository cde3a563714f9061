-- One of before with this body that does not count any more makes room for another.
UPDATE request r SET closed = TRUE
WHERE r.workspace = $1 AND r.scope = $2 AND r.body_sha256 = $3 AND r.key IS NULL AND NOT r.closed
  AND r.expires_at <= $6
  AND NOT (r.lease_until > $6 AND (coalesce(r.owner = $4, FALSE) OR EXISTS (
    SELECT 1 FROM node n
    WHERE n.instance = r.owner AND n.left_at IS NULL AND n.beat_at > $5)))
