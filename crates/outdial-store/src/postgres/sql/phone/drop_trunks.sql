DELETE FROM phone_trunk WHERE phone = $1
