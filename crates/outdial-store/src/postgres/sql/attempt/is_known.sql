SELECT 1 FROM attempt WHERE seq = $1 AND token = $2
