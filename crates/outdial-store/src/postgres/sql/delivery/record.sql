-- Another process has it only if this one took too long; what arrived has arrived.
WITH recorded AS (
  UPDATE delivery SET state = $3::SMALLINT, tries = tries + 1, owner = NULL,
    next_at = coalesce($4, next_at), keep_until = $5
  WHERE seq = $1 AND created_at / 1000 = $2 AND state = 0 AND (owner = $6 OR $3 = 1)
  RETURNING seq, webhook
), tried AS (
  INSERT INTO delivery_try (delivery, number, at, took_ms, status, error, answer)
  SELECT seq, 1 + coalesce((SELECT max(number) FROM delivery_try WHERE delivery = $1), 0),
    $7, $8, $9::INTEGER, $10, $11
  FROM recorded
)
SELECT webhook FROM recorded
