-- Nobody else changes the state of a batch of these workspaces until this transaction ends.
SELECT workspace
FROM dispatch
WHERE workspace = ANY ($1)
ORDER BY workspace
FOR NO KEY UPDATE
