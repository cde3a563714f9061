-- The last column: whoever has it is alive. $4: this process; $5: nodes that were heard of before
-- then are gone.
SELECT r.seq, r.created_at, r.body_sha256, r.context, r.owner, r.lease_until, r.is_final,
  r.answer_status, r.answer_body,
  coalesce(r.owner = $4, FALSE) OR EXISTS (
    SELECT 1 FROM node n
    WHERE n.instance = r.owner AND n.left_at IS NULL AND n.beat_at > $5)
FROM request r
WHERE r.workspace = $1 AND r.scope = $2 AND r.key = $3
