INSERT INTO person_attempt (attempt, workspace, phone, at) VALUES (?1, ?2, ?3, ?4)
