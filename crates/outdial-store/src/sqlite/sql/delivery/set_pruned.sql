INSERT INTO delivery_pruned (webhook, batch, sequence) VALUES (?1, ?2, ?3)
ON CONFLICT (webhook, batch) DO UPDATE SET sequence = max(sequence, excluded.sequence)
