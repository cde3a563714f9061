UPDATE trunk SET health = $2, health_detail = $3, health_since = $4 WHERE seq = $1
