INSERT INTO batch_total (batch, shard)
SELECT DISTINCT batch, -1 FROM batch_delta WHERE seq > $1 AND seq <= $2 ORDER BY 1
ON CONFLICT DO NOTHING
