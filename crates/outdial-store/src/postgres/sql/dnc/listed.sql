SELECT phone FROM dnc WHERE workspace = $1 AND phone = ANY ($2)
