UPDATE node SET left_at = $2 WHERE instance = $1 AND left_at IS NULL
