DELETE FROM number_day
WHERE (phone, day) IN (SELECT phone, day FROM number_day WHERE day < $1 ORDER BY day LIMIT $2)
