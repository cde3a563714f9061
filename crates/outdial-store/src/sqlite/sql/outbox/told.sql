INSERT INTO outbox (kind, at, batch, subject, facts) VALUES (?1, ?2, ?3, ?4, ?5)
