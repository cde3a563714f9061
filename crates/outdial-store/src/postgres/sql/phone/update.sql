UPDATE phone
SET agent = $2, calls_per_second = $3, channels = $4, calls_per_day = $5, price = $6
WHERE seq = $1
