INSERT INTO outbox (kind, at, batch, subject, facts)
SELECT r.kind::SMALLINT, $1, r.batch, r.subject, r.facts
FROM unnest($2, $3, $4, $5) WITH ORDINALITY AS r (kind, batch, subject, facts, place)
ORDER BY r.place
