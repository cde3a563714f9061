INSERT INTO phone_trunk (phone, pos, trunk) VALUES (?1, ?2, ?3)
