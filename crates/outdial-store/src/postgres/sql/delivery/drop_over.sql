-- Those that were over long enough.
WITH gone AS (
  DELETE FROM delivery
  WHERE seq = ANY (ARRAY(
    SELECT seq FROM delivery
    WHERE keep_until IS NOT NULL AND keep_until <= $1
    ORDER BY keep_until
    LIMIT $2
    FOR UPDATE SKIP LOCKED))
  RETURNING event, webhook, batch, sequence
), pruned AS (
  INSERT INTO delivery_pruned AS p (webhook, batch, sequence)
  SELECT webhook, batch, max(sequence) FROM gone GROUP BY webhook, batch ORDER BY webhook, batch
  ON CONFLICT (webhook, batch) DO UPDATE SET sequence = greatest(p.sequence, excluded.sequence)
)
SELECT event FROM gone
