SELECT seq, webhook, event, batch, sequence FROM delivery
WHERE keep_until IS NOT NULL AND keep_until <= ?1
ORDER BY keep_until
LIMIT ?2
