INSERT OR REPLACE INTO attempt_dialog (attempt, dialog) VALUES (?1, ?2)
