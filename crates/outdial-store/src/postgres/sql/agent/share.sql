-- Until this transaction ends it is not deleted.
SELECT 1 FROM agent
WHERE seq = $1 AND created_at / 1000 = $2 AND workspace = $3 AND deleted_at IS NULL
FOR SHARE
