-- Those retries of a batch that were tried more often than $2 allows finish as their latest attempt
-- that counts did: how many, and how many of those completed.
WITH mine AS MATERIALIZED (
  SELECT seq FROM call
  WHERE state = 0 AND batch = $1 AND is_retry AND charged > $2
  ORDER BY phone
  FOR NO KEY UPDATE
), done AS (
  UPDATE call c SET state = 2, wait_reason = NULL, disposition_reason = NULL, updated_at = $3,
    disposition = (
      SELECT a.disposition FROM attempt a
      WHERE a.call = c.seq AND a.charged
      ORDER BY a.number DESC LIMIT 1)
  FROM mine
  WHERE c.seq = mine.seq AND c.state = 0
  RETURNING c.seq, c.batch, c.attempts, c.round, c.disposition
), told AS (
  INSERT INTO outbox (kind, at, batch, subject, attempts, round, disposition)
  SELECT 0, $3, batch, seq, attempts, round, disposition FROM done
)
SELECT count(*), count(*) FILTER (WHERE disposition = 'completed') FROM done
