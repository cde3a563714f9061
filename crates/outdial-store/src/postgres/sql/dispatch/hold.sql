-- Until this transaction ends nobody else bumps the version of these workspaces.
SELECT 1 FROM dispatch WHERE workspace = ANY ($1) ORDER BY workspace FOR NO KEY UPDATE
