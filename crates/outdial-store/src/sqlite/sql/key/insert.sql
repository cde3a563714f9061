INSERT INTO api_key (created_at, workspace, hash, hint, name, scopes, expires_at, replaces)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
