-- Keys that expire, that are rotated, that tell when they were used. Conventions as in V1.

ALTER TABLE api_key ADD COLUMN expires_at INTEGER;    -- NULL: it does not end by itself
ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;  -- written once a minute at most
ALTER TABLE api_key ADD COLUMN replaces INTEGER;      -- whose successor it is
