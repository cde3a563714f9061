-- Until this transaction ends none of them is deleted.
SELECT seq FROM trunk
WHERE seq = ANY ($1) AND workspace = $2 AND integration = $3 AND deleted_at IS NULL
ORDER BY seq
FOR SHARE
