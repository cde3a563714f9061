SELECT a.seq, a.created_at, a.updated_at, a.version, a.name, a.languages, a.connection, v.variables
FROM agent a
JOIN agent_version v ON v.agent = a.seq AND v.version = a.version
WHERE a.seq = $1 AND a.created_at / 1000 = $2 AND a.workspace = $3 AND a.deleted_at IS NULL
