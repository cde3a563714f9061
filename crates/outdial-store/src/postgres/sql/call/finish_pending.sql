-- Calls that will not be placed, whatever their attempts said: how many of each batch. By number,
-- like everybody who writes several.
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
  RETURNING c.batch
)
SELECT batch, count(*) FROM done GROUP BY batch
