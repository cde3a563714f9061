SELECT batch, caller, trunk, count(*) FROM live WHERE workspace = ?1 GROUP BY batch, caller, trunk
