SELECT workspace, state, pause_reason, lane, enable_dnc
FROM batch
WHERE seq = ?1 AND created_at / 1000 = ?2
