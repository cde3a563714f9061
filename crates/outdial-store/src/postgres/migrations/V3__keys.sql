-- Keys that expire, that are rotated, that tell when they were used. Conventions as in V1.

ALTER TABLE api_key
  ADD COLUMN expires_at BIGINT,         -- NULL: it does not end by itself
  ADD COLUMN last_used_at BIGINT,       -- written once a minute at most
  ADD COLUMN replaces BIGINT;           -- whose successor it is

-- A program that does not know `expires_at` would take a key that has expired.
UPDATE schema_mark SET version = 3, compatible_from = 3;
