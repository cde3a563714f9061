INSERT INTO event (created_at, workspace, position, kind, batch, data, numbered_at, is_sent)
SELECT r.at, r.workspace, r.position, r.kind::SMALLINT, r.batch, r.data, $1, r.is_sent
FROM unnest($2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
  AS r (at, workspace, position, kind, batch, data, is_sent, place)
ORDER BY r.place
RETURNING seq, workspace, position
