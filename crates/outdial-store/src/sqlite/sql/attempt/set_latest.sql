INSERT INTO attempt_latest (workspace, owner, attempt)
VALUES (?1, ?2, ?3)
ON CONFLICT (workspace, owner) DO UPDATE SET attempt = excluded.attempt
