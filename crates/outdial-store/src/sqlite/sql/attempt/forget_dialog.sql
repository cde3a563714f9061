DELETE FROM attempt_dialog WHERE attempt = ?1
