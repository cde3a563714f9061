INSERT INTO delivery (created_at, webhook, event, batch, sequence, state, tries, first_at, next_at)
SELECT $1, r.webhook, r.event, r.batch, r.sequence, 0, 0, $1, $1
FROM unnest($2, $3, $4, $5) WITH ORDINALITY AS r (webhook, event, batch, sequence, place)
ORDER BY r.place
