-- As request/by_key. One that does not count any more counts on while somebody is at work on it.
SELECT r.seq, r.created_at, r.body_sha256, r.context, r.owner, r.lease_until, r.is_final,
  r.answer_status, r.answer_body, a.is_alive
FROM request r
CROSS JOIN LATERAL (
  SELECT coalesce(r.owner = $4, FALSE) OR EXISTS (
    SELECT 1 FROM node n
    WHERE n.instance = r.owner AND n.left_at IS NULL AND n.beat_at > $5) AS is_alive
) a
WHERE r.workspace = $1 AND r.scope = $2 AND r.body_sha256 = $3 AND r.key IS NULL AND NOT r.closed
  AND (r.expires_at > $6 OR (a.is_alive AND r.lease_until > $6))
