-- Locks the numbers of a plan, in their order; the key of `live` is what keeps two calls from one
-- number. Those whose number was free get their attempt, and their call is live.
WITH plan AS (
  SELECT *
  FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    AS q (phone, batch, call, number, round, token, caller, trunk, send_at, send_by, reserve_s,
      reserve_micros, price, day)
), locked AS (
  INSERT INTO live (workspace, phone, batch, attempt, caller, trunk, owner, reserve_s,
    reserve_micros, price, day)
  SELECT $1, phone, batch, nextval('attempt_seq_seq'), caller, trunk, $2, reserve_s,
    reserve_micros, price, day
  FROM plan
  ON CONFLICT (workspace, phone) DO NOTHING
  RETURNING phone, attempt
), made AS (
  INSERT INTO attempt (seq, created_at, call, number, round, state, owner, token, caller, trunk,
    send_at, send_by)
  SELECT l.attempt, $3, p.call, p.number, p.round, 0, $2, p.token, p.caller, p.trunk, p.send_at,
    p.send_by
  FROM locked l
  JOIN plan p ON p.phone = l.phone
), counted AS (
  INSERT INTO person_attempt (attempt, workspace, phone, at)
  SELECT l.attempt, $1, l.phone, p.send_at
  FROM locked l
  JOIN plan p ON p.phone = l.phone
), gone AS (
  UPDATE call c SET state = 1, attempts = c.attempts + 1, wait_reason = NULL, updated_at = $3
  FROM locked l
  JOIN plan p ON p.phone = l.phone
  WHERE c.seq = p.call
)
SELECT phone, attempt FROM locked
