-- Do-not-call, and what limits, budgets and brakes count. Conventions as in V1. A day is a calendar
-- day of the workspace's zone, in days since 1970-01-01; money is in millionths; a minute is one of
-- UTC since 1970.

ALTER TABLE phone ADD COLUMN calls_per_day INTEGER;   -- NULL: unlimited
ALTER TABLE phone ADD COLUMN price INTEGER;           -- of a minute of talk; NULL: nobody said

-- Copies of what the settings say, where statements need it. Written with them.
ALTER TABLE workspace ADD COLUMN do_not_call INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch ADD COLUMN enable_dnc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN expires_at INTEGER;
-- What the brakes remember of it (JSON).
ALTER TABLE batch ADD COLUMN brake TEXT NOT NULL DEFAULT '{}';
CREATE INDEX batch_expiring ON batch (expires_at, seq)
  WHERE expires_at IS NOT NULL AND state <> 'completed' AND state <> 'deleted';

DROP INDEX batch_closable;
CREATE INDEX batch_closable ON batch (seq) WHERE state = 'active' OR state = 'paused';

ALTER TABLE live ADD COLUMN reserve_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE live ADD COLUMN reserve_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE live ADD COLUMN price INTEGER NOT NULL DEFAULT 0;
ALTER TABLE live ADD COLUMN day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE live ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;

ALTER TABLE request_chunk ADD COLUMN do_not_call INTEGER NOT NULL DEFAULT 0;

-- AUTOINCREMENT: rows are deleted, and an id must not come again.
CREATE TABLE dnc (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at INTEGER NOT NULL,
  workspace  INTEGER NOT NULL REFERENCES workspace (seq),
  phone      INTEGER NOT NULL,
  batch      INTEGER NOT NULL REFERENCES batch (seq),
  token      BLOB NOT NULL,
  kind       TEXT,
  recording  TEXT,
  transcript TEXT
) STRICT;
CREATE UNIQUE INDEX dnc_phone ON dnc (workspace, phone);
CREATE INDEX dnc_workspace ON dnc (workspace, seq);

-- Calls that wait because their person was called often enough.
CREATE INDEX call_rests ON call (batch) WHERE state = 0 AND wait_reason = 'attempts_per_day';

-- Attempts at a person that may count among those of 24 h: charged, or not over. The key is the
-- attempt's, so that rows are appended, and the oldest stand first.
CREATE TABLE person_attempt (
  attempt   INTEGER PRIMARY KEY,
  workspace INTEGER NOT NULL,
  phone     INTEGER NOT NULL,
  at        INTEGER NOT NULL            -- start of its slot
) STRICT;
CREATE INDEX person_attempt_phone ON person_attempt (workspace, phone, at);

-- Use that is settled; what is reserved stands in `live`.
CREATE TABLE batch_use (
  batch   INTEGER NOT NULL,
  day     INTEGER NOT NULL,
  seconds INTEGER NOT NULL,
  micros  INTEGER NOT NULL,
  PRIMARY KEY (batch, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_use_day ON batch_use (day);

-- Use of all days, and how all attempts ended since the batch was last resumed from a brake: beside
-- the totals, which every end of an attempt changes anyway.
ALTER TABLE batch_total ADD COLUMN used_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN used_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN answered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN short INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN voicemail INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch_total ADD COLUMN talk_ms INTEGER NOT NULL DEFAULT 0;

-- How attempts ended, by the minute in which they did; since the batch was last resumed likewise.
CREATE TABLE batch_pulse (
  batch     INTEGER NOT NULL,
  minute    INTEGER NOT NULL,
  ended     INTEGER NOT NULL,
  failed    INTEGER NOT NULL,
  answered  INTEGER NOT NULL,
  short     INTEGER NOT NULL,
  voicemail INTEGER NOT NULL,
  talk_ms   INTEGER NOT NULL,
  PRIMARY KEY (batch, minute)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_pulse_minute ON batch_pulse (minute);

-- Attempts that a calling number placed, those not sent left out.
CREATE TABLE number_day (
  phone  INTEGER NOT NULL,
  day    INTEGER NOT NULL,
  placed INTEGER NOT NULL,
  PRIMARY KEY (phone, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX number_day_day ON number_day (day);

-- Who was called within the 24 h that end with the latest attempt, and a slot, counts too.
INSERT INTO person_attempt (attempt, workspace, phone, at)
SELECT a.seq, b.workspace, c.phone, a.send_at
FROM attempt a
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
WHERE (a.state < 4 OR a.charged = 1)
  AND a.send_at > (SELECT max(send_at) FROM attempt) - 86400100;
