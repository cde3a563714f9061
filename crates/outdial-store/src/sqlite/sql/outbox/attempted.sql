-- An attempt that was sent, or may have been, is over.
INSERT INTO outbox (kind, at, batch, subject, attempt) VALUES (1, ?1, ?2, ?3, ?4)
