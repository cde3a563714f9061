SELECT count(*) FROM dnc WHERE workspace = $1
