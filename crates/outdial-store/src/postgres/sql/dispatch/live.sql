SELECT batch, caller, trunk, day, count(*), sum(reserve_s)::BIGINT, sum(reserve_micros)::BIGINT
FROM live
WHERE workspace = $1
GROUP BY batch, caller, trunk, day
