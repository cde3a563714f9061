SELECT seq, workspace, state, pause_reason, lane
FROM batch
WHERE seq = ?1 AND created_at / 1000 = ?2
