SELECT batch, caller, trunk, day, count(*), sum(reserve_s), sum(reserve_micros)
FROM live
WHERE workspace = ?1
GROUP BY batch, caller, trunk, day
