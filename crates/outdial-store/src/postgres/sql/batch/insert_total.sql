-- Where ends of its calls are folded into, and a row for what else counts.
INSERT INTO batch_total (batch, shard) VALUES ($1, -1), ($1, 0)
