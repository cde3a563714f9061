SELECT coalesce(sum(t.total), 0)::BIGINT
FROM batch b
JOIN batch_total t ON t.batch = b.seq
WHERE b.seq = $1 AND b.created_at / 1000 = $2
