UPDATE batch_total SET total = total + ?2, pending = pending + ?3, live = live + ?4,
  finished = finished + ?5, picked = picked + ?6, completed = completed + ?7
WHERE batch = ?1 AND shard = 0
