INSERT INTO batch_total (batch, shard) VALUES ($1, 0)
