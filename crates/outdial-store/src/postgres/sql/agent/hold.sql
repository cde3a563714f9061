SELECT version FROM agent
WHERE seq = $1 AND created_at / 1000 = $2 AND workspace = $3 AND deleted_at IS NULL
FOR UPDATE
