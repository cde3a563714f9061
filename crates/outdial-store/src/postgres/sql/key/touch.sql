UPDATE api_key SET last_used_at = $3
WHERE seq IN (
  SELECT k.seq
  FROM unnest($1, $2) AS used (seq, seconds)
  JOIN api_key k ON k.seq = used.seq AND k.created_at / 1000 = used.seconds
  WHERE k.last_used_at IS NULL OR k.last_used_at <= $4
  FOR NO KEY UPDATE OF k SKIP LOCKED
)
