SELECT r.webhook, r.batch, greatest(
  coalesce((SELECT max(sequence) FROM delivery d
            WHERE d.webhook = r.webhook AND d.batch = r.batch), 0),
  coalesce((SELECT sequence FROM delivery_pruned p
            WHERE p.webhook = r.webhook AND p.batch = r.batch), 0))
FROM unnest($1, $2) AS r (webhook, batch)
