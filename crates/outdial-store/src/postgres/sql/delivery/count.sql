SELECT count(*) FROM delivery WHERE webhook = $1 AND ($2 IS NULL OR state = $2)
