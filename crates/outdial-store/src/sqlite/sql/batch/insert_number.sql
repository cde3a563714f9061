INSERT INTO batch_number (batch, pos, phone) VALUES (?1, ?2, ?3)
