-- Those that are over: one ($2, made in second $3), those made since ($4), or those given up ($5).
UPDATE delivery SET state = 0, tries = 0, first_at = $6, next_at = $6, keep_until = NULL
WHERE webhook = $1 AND state <> 0
  AND ((seq = $2 AND created_at / 1000 = $3) OR created_at >= $4 OR ($5 AND state = 2))
