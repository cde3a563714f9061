-- Conventions. `seq` is the sequence number inside a public id, `created_at` its other half (an id
-- is good only if both match). Instants are milliseconds since 1970. Words are those of the core
-- (`as_str`), except for the state columns of the two hot tables, which are small integers:
--   call.state     0 pending, 1 live, 2 finished
--   attempt.state  0 intent, 1 sent, 2 ringing, 3 answered, 4 ended, 5 not_sent, 6 unknown
-- call, call_fields, attempt and live carry no REFERENCES: each would be a look-up per row.

CREATE TABLE meta (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  secret BLOB NOT NULL
) STRICT;

CREATE TABLE workspace (
  seq        INTEGER PRIMARY KEY,
  created_at INTEGER NOT NULL,
  name       TEXT NOT NULL,
  settings   TEXT NOT NULL
) STRICT;

CREATE TABLE workspace_user (
  seq        INTEGER PRIMARY KEY,
  created_at INTEGER NOT NULL,
  workspace  INTEGER NOT NULL UNIQUE REFERENCES workspace (seq)
) STRICT;

CREATE TABLE api_key (
  seq        INTEGER PRIMARY KEY,
  created_at INTEGER NOT NULL,
  workspace  INTEGER NOT NULL REFERENCES workspace (seq),
  hash       BLOB NOT NULL UNIQUE,
  hint       TEXT NOT NULL,
  name       TEXT NOT NULL,
  scopes     TEXT NOT NULL,             -- words, joined by a comma
  revoked_at INTEGER
) STRICT;
CREATE INDEX api_key_workspace ON api_key (workspace, seq);

CREATE TABLE agent (
  seq        INTEGER PRIMARY KEY,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  workspace  INTEGER NOT NULL REFERENCES workspace (seq),
  version    INTEGER NOT NULL,
  name       TEXT NOT NULL,
  languages  TEXT NOT NULL,             -- JSON
  connection TEXT NOT NULL,             -- JSON
  deleted_at INTEGER
) STRICT;
CREATE INDEX agent_workspace ON agent (workspace, seq);

-- Calls keep the version that they were checked with, so versions outlive their agent.
CREATE TABLE agent_version (
  agent     INTEGER NOT NULL REFERENCES agent (seq),
  version   INTEGER NOT NULL,
  variables TEXT NOT NULL,              -- JSON
  PRIMARY KEY (agent, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE trunk (
  seq              INTEGER PRIMARY KEY,
  created_at       INTEGER NOT NULL,
  workspace        INTEGER NOT NULL REFERENCES workspace (seq),
  integration      TEXT NOT NULL,
  calls_per_second REAL,                -- NULL: unlimited
  channels         INTEGER,             -- NULL: unlimited
  paused_until     INTEGER
) STRICT;
CREATE UNIQUE INDEX trunk_simulated ON trunk (workspace) WHERE integration = 'simulated';

CREATE TABLE phone (
  seq              INTEGER PRIMARY KEY,
  created_at       INTEGER NOT NULL,
  workspace        INTEGER NOT NULL REFERENCES workspace (seq),
  number           INTEGER NOT NULL,
  integration      TEXT NOT NULL,
  trunk            INTEGER NOT NULL REFERENCES trunk (seq),
  agent            INTEGER REFERENCES agent (seq),
  calls_per_second REAL,
  channels         INTEGER,
  deleted_at       INTEGER              -- attempts still name it
) STRICT;
CREATE UNIQUE INDEX phone_number ON phone (workspace, number) WHERE deleted_at IS NULL;

CREATE TABLE batch (
  seq          INTEGER PRIMARY KEY,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  workspace    INTEGER NOT NULL REFERENCES workspace (seq),
  name         TEXT NOT NULL,
  settings     TEXT NOT NULL,           -- JSON
  state        TEXT NOT NULL,
  pause_reason TEXT,
  lane         INTEGER,                 -- NULL: calls of all lanes are placed
  next_lane    INTEGER NOT NULL         -- greater than every lane of its calls
) STRICT;
CREATE INDEX batch_workspace ON batch (workspace, seq);
CREATE INDEX batch_active ON batch (workspace, seq) WHERE state = 'active';
-- Those that the closer looks at. The condition is written as it is there.
CREATE INDEX batch_closable ON batch (seq)
  WHERE state = 'active' OR pause_reason = 'no_numbers';

CREATE TABLE batch_number (
  batch INTEGER NOT NULL REFERENCES batch (seq),
  pos   INTEGER NOT NULL,               -- order of rotation
  phone INTEGER NOT NULL REFERENCES phone (seq),
  PRIMARY KEY (batch, pos)
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_number_phone ON batch_number (phone);

-- The totals of a batch are the sums of its rows; one alone may be negative. This backend has one
-- writer and uses one shard; the check is invariant I3, and holds for every delta.
CREATE TABLE batch_total (
  batch     INTEGER NOT NULL REFERENCES batch (seq),
  shard     INTEGER NOT NULL,
  total     INTEGER NOT NULL DEFAULT 0,
  pending   INTEGER NOT NULL DEFAULT 0,
  live      INTEGER NOT NULL DEFAULT 0,
  finished  INTEGER NOT NULL DEFAULT 0,
  picked    INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (batch, shard),
  CHECK (total = pending + live + finished)
) STRICT, WITHOUT ROWID;

CREATE TABLE class (
  id   INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE call (
  seq                INTEGER PRIMARY KEY,
  batch              INTEGER NOT NULL,
  phone              INTEGER NOT NULL,
  class              INTEGER NOT NULL,
  lane               INTEGER NOT NULL,
  state              INTEGER NOT NULL,
  is_retry           INTEGER NOT NULL,
  round              INTEGER NOT NULL,
  charged            INTEGER NOT NULL,
  uncharged          INTEGER NOT NULL,
  attempts           INTEGER NOT NULL,  -- number of the latest; only grows
  not_before         INTEGER NOT NULL,
  wait_reason        TEXT,              -- NULL: due
  disposition        TEXT,              -- the latest; kept while re-opened
  disposition_reason TEXT,
  picked             INTEGER NOT NULL,  -- in this round
  agent              INTEGER NOT NULL,
  agent_version      INTEGER NOT NULL,
  created_at         INTEGER NOT NULL,
  updated_at         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX call_phone ON call (batch, phone);
CREATE INDEX call_pending ON call (batch, lane, class, is_retry, not_before, seq) WHERE state = 0;

CREATE TABLE call_fields (
  seq    INTEGER PRIMARY KEY,
  fields TEXT NOT NULL                  -- JSON, as it was sent
) STRICT;

-- Which sequence numbers are a batch's: `count` of them from `first_seq`, `before` of them in
-- earlier runs. A chunk makes or extends one, so that a page of a large batch is found without
-- an index on (batch, seq), which every insert would pay for.
CREATE TABLE call_run (
  batch     INTEGER NOT NULL,
  before    INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  count     INTEGER NOT NULL,
  PRIMARY KEY (batch, before)
) STRICT, WITHOUT ROWID;

-- What was added for a call while it was on the phone; applied when the attempt ends.
CREATE TABLE call_deferred (
  call               INTEGER PRIMARY KEY,
  class              INTEGER NOT NULL,
  lane               INTEGER,           -- NULL: as it is
  agent              INTEGER NOT NULL,
  agent_version      INTEGER NOT NULL,
  disposition        TEXT,              -- not to be called again, for this reason
  disposition_reason TEXT,
  fields             TEXT NOT NULL
) STRICT;

CREATE TABLE attempt (
  seq         INTEGER PRIMARY KEY,
  created_at  INTEGER NOT NULL,
  call        INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  round       INTEGER NOT NULL,
  state       INTEGER NOT NULL,
  owner       INTEGER NOT NULL,         -- the process that committed it
  token       BLOB NOT NULL,
  caller      INTEGER NOT NULL,
  trunk       INTEGER NOT NULL,
  send_at     INTEGER NOT NULL,
  send_by     INTEGER NOT NULL,
  sent_at     INTEGER,
  ringing_at  INTEGER,
  answered_at INTEGER,
  ended_at    INTEGER,
  disposition TEXT,
  fault       TEXT,
  reason      TEXT,
  sip_status  INTEGER,
  charged     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX attempt_number ON attempt (call, number);
CREATE INDEX attempt_open ON attempt (seq) WHERE state < 4;

-- One row per call that is on the phone. Limits are counted from here; the key is invariant I1.
CREATE TABLE live (
  workspace INTEGER NOT NULL,
  phone     INTEGER NOT NULL,
  batch     INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  caller    INTEGER NOT NULL,
  trunk     INTEGER NOT NULL,
  owner     INTEGER NOT NULL,
  PRIMARY KEY (workspace, phone)
) STRICT, WITHOUT ROWID;

CREATE TABLE dispatch (
  workspace INTEGER PRIMARY KEY REFERENCES workspace (seq),
  version   INTEGER NOT NULL
) STRICT;

-- Recent slots of a line, 8 bytes each, ascending.
CREATE TABLE dispatch_slots (
  workspace INTEGER NOT NULL REFERENCES workspace (seq),
  kind      INTEGER NOT NULL,           -- 0 trunk, 1 calling number
  line      INTEGER NOT NULL,
  slots     BLOB NOT NULL,
  PRIMARY KEY (workspace, kind, line)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: rows are pruned, and a number must not come again.
CREATE TABLE request (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at    INTEGER NOT NULL,
  workspace     INTEGER NOT NULL REFERENCES workspace (seq),
  scope         TEXT NOT NULL,
  key           TEXT,                   -- NULL: known by its body alone
  body_sha256   BLOB NOT NULL,
  context       TEXT NOT NULL,
  owner         INTEGER,                -- the process at work on it
  lease_until   INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,       -- may be forgotten from then on
  is_final      INTEGER NOT NULL DEFAULT 0,
  closed        INTEGER NOT NULL DEFAULT 0,
  answer_status INTEGER,
  answer_body   BLOB
) STRICT;
CREATE UNIQUE INDEX request_key ON request (workspace, scope, key) WHERE key IS NOT NULL;
CREATE INDEX request_body ON request (workspace, scope, body_sha256)
  WHERE key IS NULL AND closed = 0;
CREATE INDEX request_expiry ON request (expires_at);

CREATE TABLE request_chunk (
  request      INTEGER NOT NULL REFERENCES request (seq) ON DELETE CASCADE,
  chunk_num    INTEGER NOT NULL,
  updated      INTEGER NOT NULL,
  deferred     INTEGER NOT NULL,
  batch_state  TEXT NOT NULL,
  pause_reason TEXT,
  calls        BLOB NOT NULL,           -- runs of call ids
  PRIMARY KEY (request, chunk_num)
) STRICT, WITHOUT ROWID;
