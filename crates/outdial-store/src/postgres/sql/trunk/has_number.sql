SELECT 1 FROM phone_trunk WHERE trunk = $1 LIMIT 1
