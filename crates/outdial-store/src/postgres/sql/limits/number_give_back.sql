UPDATE number_day SET placed = placed - 1 WHERE phone = $1 AND day = $2 AND placed > 0
