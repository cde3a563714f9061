-- Calls that will not be placed, whatever their attempts said: how many of each batch. By number,
-- like everybody who writes several. With the fact that they are over.
WITH mine AS MATERIALIZED (
  SELECT seq FROM call
  WHERE seq = ANY ($1) AND state = 0
  ORDER BY phone, seq
  FOR NO KEY UPDATE
), done AS (
  UPDATE call c SET state = 2, disposition = $2, disposition_reason = $3, wait_reason = NULL,
    updated_at = $4
  FROM mine
  WHERE c.seq = mine.seq AND c.state = 0
  RETURNING c.seq, c.batch, c.attempts, c.round
), told AS (
  INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition, reason)
  SELECT 0, $4, batch, seq, attempts, round, $2, $3
  FROM done
  WHERE NOT EXISTS (SELECT 1 FROM import i WHERE i.batch = done.batch)
)
SELECT batch, count(*) FROM done GROUP BY batch
