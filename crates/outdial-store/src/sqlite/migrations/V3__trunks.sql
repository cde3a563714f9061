-- SIP trunks, numbers that go out over several, and what ends a call whose process died.
-- Conventions as in V1; durations are in milliseconds.

ALTER TABLE trunk ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;  -- grows with every change
ALTER TABLE trunk ADD COLUMN name TEXT;               -- NULL: the simulated one
ALTER TABLE trunk ADD COLUMN ring_timeout_ms INTEGER; -- NULL: as the server is configured
ALTER TABLE trunk ADD COLUMN max_call_s INTEGER;      -- NULL: as the batch says
ALTER TABLE trunk ADD COLUMN health TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE trunk ADD COLUMN health_detail TEXT;
ALTER TABLE trunk ADD COLUMN health_since INTEGER;
ALTER TABLE trunk ADD COLUMN deleted_at INTEGER;      -- attempts still name it
UPDATE trunk SET updated_at = created_at;
CREATE INDEX trunk_workspace ON trunk (workspace, seq);
CREATE UNIQUE INDEX trunk_name ON trunk (workspace, name)
  WHERE name IS NOT NULL AND deleted_at IS NULL;

-- How a SIP trunk is reached. The password stands here as it is, because digest authentication
-- needs it: whoever reads the database or a copy of it has it. Deleted with its trunk.
CREATE TABLE trunk_sip (
  trunk         INTEGER PRIMARY KEY REFERENCES trunk (seq),
  host          TEXT NOT NULL,
  port          INTEGER,                -- NULL: by DNS, or the transport's own
  transport     TEXT NOT NULL,
  username      TEXT,
  password      TEXT,
  from_domain   TEXT,                   -- NULL: the host
  proxy         TEXT,                   -- host[:port]
  register      INTEGER NOT NULL,
  keep_alive_ms INTEGER,                -- NULL: it is not asked
  caller_id     TEXT NOT NULL,
  plus          INTEGER NOT NULL,
  verify_tls    INTEGER NOT NULL
) STRICT;

-- Over which trunks the calls of a number go out. None of a deleted number.
CREATE TABLE phone_trunk (
  phone INTEGER NOT NULL REFERENCES phone (seq),
  pos   INTEGER NOT NULL,               -- order of preference
  trunk INTEGER NOT NULL REFERENCES trunk (seq),
  PRIMARY KEY (phone, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX phone_trunk_trunk ON phone_trunk (trunk);
INSERT INTO phone_trunk (phone, pos, trunk)
SELECT seq, 0, trunk FROM phone WHERE deleted_at IS NULL;
ALTER TABLE phone DROP COLUMN trunk;

-- What another process needs to end an answered call; deleted when its attempt ends.
CREATE TABLE attempt_dialog (
  attempt INTEGER PRIMARY KEY,
  dialog  TEXT NOT NULL
) STRICT;
