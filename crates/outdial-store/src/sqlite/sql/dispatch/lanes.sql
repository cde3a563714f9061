-- The active batches, and one that is asked for besides (?2 and ?3; NULL: none), in all its lanes.
SELECT seq, created_at, lane
FROM batch
WHERE workspace = ?1 AND state = 'active' AND seq IS NOT ?2
UNION ALL
SELECT seq, created_at, NULL
FROM batch
WHERE seq = ?2 AND created_at / 1000 = ?3 AND workspace = ?1
