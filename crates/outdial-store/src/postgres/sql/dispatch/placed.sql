-- Of all the workspace's numbers that are not deleted.
SELECT d.phone, d.day, d.placed
FROM phone p
JOIN number_day d ON d.phone = p.seq
WHERE p.workspace = $1 AND p.deleted_at IS NULL AND d.day >= $2
ORDER BY d.phone, d.day
