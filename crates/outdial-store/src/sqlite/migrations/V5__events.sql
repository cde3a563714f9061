-- Events, webhook endpoints, and what is delivered to them. Conventions as in V1.
--   outbox.kind, event.kind  0 call.finished, 1 call.attempted, 2 batch.active, 3 batch.completed,
--                            4 batch.paused, 5 dnc.added, 6 webhook.disabled
--   delivery.state           0 pending, 1 delivered, 2 given up

-- Facts that have no number yet: a row is written with the fact, and deleted when it is numbered.
CREATE TABLE outbox (
  seq         INTEGER PRIMARY KEY,
  kind        INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  batch       INTEGER,                  -- NULL: of no batch
  subject     INTEGER,                  -- the call, or the webhook endpoint
  attempt     INTEGER,                  -- of a call.attempted
  attempts    INTEGER,                  -- number of the call's latest, then
  round       INTEGER,                  -- of the call, then
  disposition TEXT,                     -- of a call.finished
  reason      TEXT,                     -- likewise
  facts       TEXT                      -- of the other kinds: JSON
) STRICT;

-- AUTOINCREMENT: rows are pruned, and an id must not come again.
CREATE TABLE event (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at  INTEGER NOT NULL,         -- when it happened
  workspace   INTEGER NOT NULL REFERENCES workspace (seq),
  position    INTEGER NOT NULL,
  kind        INTEGER NOT NULL,
  batch       INTEGER REFERENCES batch (seq),
  data        TEXT NOT NULL,            -- JSON
  numbered_at INTEGER NOT NULL,
  is_sent     INTEGER NOT NULL          -- it has deliveries, and goes with the last of them
) STRICT;
CREATE UNIQUE INDEX event_position ON event (workspace, position);
CREATE INDEX event_old ON event (numbered_at) WHERE is_sent = 0;

-- Positions up to here were given, and are not to be read any more.
CREATE TABLE event_pruned (
  workspace INTEGER PRIMARY KEY REFERENCES workspace (seq),
  position  INTEGER NOT NULL
) STRICT;

-- The secrets stand here as they are, because deliveries are signed with them.
CREATE TABLE webhook (
  seq              INTEGER PRIMARY KEY,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL,
  workspace        INTEGER NOT NULL REFERENCES workspace (seq),
  url              TEXT NOT NULL,
  description      TEXT NOT NULL,
  events           TEXT,                -- words, joined by a comma; NULL: all
  secret           TEXT NOT NULL,
  old_secret       TEXT,
  old_secret_until INTEGER,
  disabled_at      INTEGER,
  disabled_reason  TEXT,
  failing_since    INTEGER,
  deleted_at       INTEGER
) STRICT;
CREATE INDEX webhook_workspace ON webhook (workspace, seq) WHERE deleted_at IS NULL;

CREATE TABLE delivery (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at INTEGER NOT NULL,
  webhook    INTEGER NOT NULL REFERENCES webhook (seq),
  event      INTEGER NOT NULL REFERENCES event (seq),
  batch      INTEGER NOT NULL,          -- 0: of no batch
  sequence   INTEGER NOT NULL,
  state      INTEGER NOT NULL,
  tries      INTEGER NOT NULL,          -- since `first_at`
  first_at   INTEGER NOT NULL,          -- when it was made or replayed
  next_at    INTEGER NOT NULL,          -- while it is claimed: the end of the lease
  owner      INTEGER,                   -- the process that has claimed it
  keep_until INTEGER                    -- NULL: it is pending
) STRICT;
CREATE UNIQUE INDEX delivery_sequence ON delivery (webhook, batch, sequence);
CREATE INDEX delivery_due ON delivery (webhook, next_at, seq) WHERE state = 0;
CREATE INDEX delivery_claimed ON delivery (owner) WHERE owner IS NOT NULL;
CREATE INDEX delivery_listed ON delivery (webhook, seq);
CREATE INDEX delivery_event ON delivery (event);
CREATE INDEX delivery_over ON delivery (keep_until) WHERE keep_until IS NOT NULL;

CREATE TABLE delivery_try (
  delivery INTEGER NOT NULL REFERENCES delivery (seq),
  number   INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  took_ms  INTEGER NOT NULL,
  status   INTEGER,
  error    TEXT,
  answer   TEXT,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- Sequences up to here were given, and their deliveries are pruned.
CREATE TABLE delivery_pruned (
  webhook  INTEGER NOT NULL REFERENCES webhook (seq),
  batch    INTEGER NOT NULL,            -- 0: of no batch
  sequence INTEGER NOT NULL,
  PRIMARY KEY (webhook, batch)
) STRICT, WITHOUT ROWID;
