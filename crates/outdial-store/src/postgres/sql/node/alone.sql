-- The life of this node that has not left.
SELECT instance, name, host, beat_at
FROM node
WHERE id = $1 AND instance <> $2 AND left_at IS NULL
FOR UPDATE
