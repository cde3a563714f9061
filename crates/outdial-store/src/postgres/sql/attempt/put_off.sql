UPDATE call c SET not_before = q.until, wait_reason = q.reason
FROM unnest($1, $2, $3) AS q (call, until, reason)
WHERE c.seq = q.call
