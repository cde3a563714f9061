SELECT a.seq, a.created_at, a.updated_at, a.version, a.name, a.languages, a.connection, v.variables
FROM agent a
JOIN agent_version v ON v.agent = a.seq AND v.version = a.version
WHERE a.workspace = $1 AND a.deleted_at IS NULL
ORDER BY a.seq
