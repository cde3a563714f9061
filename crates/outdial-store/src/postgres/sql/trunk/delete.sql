UPDATE trunk SET deleted_at = $2 WHERE seq = $1
