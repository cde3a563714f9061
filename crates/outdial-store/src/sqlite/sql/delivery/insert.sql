INSERT INTO delivery (created_at, webhook, event, batch, sequence, state, tries, first_at, next_at)
VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?1, ?1)
