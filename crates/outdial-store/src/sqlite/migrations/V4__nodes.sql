-- Who serves, and what each process dialed last. Conventions as in V1.

-- Processes that joined. One that left, or whose place another took, has `left_at`.
CREATE TABLE node (
  instance      INTEGER PRIMARY KEY,    -- attempt.owner and request.owner name it
  id            BLOB NOT NULL,
  name          TEXT NOT NULL,
  host          TEXT NOT NULL,
  role          TEXT NOT NULL,
  address       TEXT NOT NULL,
  version       TEXT NOT NULL,
  started_at    INTEGER NOT NULL,
  beat_at       INTEGER NOT NULL,
  left_at       INTEGER,
  wall_apart_ms INTEGER NOT NULL,       -- its wall clock less this one, as of the latest beat
  live          INTEGER NOT NULL,
  not_dialing   TEXT                    -- NULL: it dials
) STRICT;

-- The process that took an attempt over from one that is gone.
ALTER TABLE attempt ADD COLUMN rescuer INTEGER;

-- The latest attempt that each process committed, by workspace.
CREATE TABLE attempt_latest (
  workspace INTEGER NOT NULL,
  owner     INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  PRIMARY KEY (workspace, owner)
) STRICT, WITHOUT ROWID;
INSERT INTO attempt_latest (workspace, owner, attempt)
SELECT p.workspace, a.owner, max(a.seq)
FROM person_attempt p
JOIN attempt a ON a.seq = p.attempt
GROUP BY p.workspace, a.owner;
