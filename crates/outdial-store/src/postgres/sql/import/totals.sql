SELECT coalesce(sum(total), 0)::BIGINT, coalesce(sum(finished), 0)::BIGINT
FROM (
  SELECT total, finished FROM batch_total WHERE batch = $1
  UNION ALL
  SELECT 0, finished
  FROM batch_delta
  WHERE batch = $1 AND seq > coalesce((SELECT max(upto) FROM batch_total WHERE batch = $1), 0)
) counted
