INSERT INTO batch_total (batch, shard) VALUES ($1, -1) ON CONFLICT DO NOTHING
