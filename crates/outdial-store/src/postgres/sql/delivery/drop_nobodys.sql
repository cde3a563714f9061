-- Those of endpoints that are deleted, and pending ones of endpoints disabled for long.
WITH gone AS (
  DELETE FROM delivery
  WHERE seq = ANY (ARRAY(
    SELECT d.seq
    FROM webhook w
    JOIN delivery d ON d.webhook = w.seq
    WHERE w.deleted_at IS NOT NULL OR (w.disabled_at <= $1 AND d.state = 0)
    LIMIT $2
    FOR UPDATE OF d SKIP LOCKED))
  RETURNING event, webhook, batch, sequence
), pruned AS (
  INSERT INTO delivery_pruned AS p (webhook, batch, sequence)
  SELECT webhook, batch, max(sequence) FROM gone GROUP BY webhook, batch ORDER BY webhook, batch
  ON CONFLICT (webhook, batch) DO UPDATE SET sequence = greatest(p.sequence, excluded.sequence)
)
SELECT event FROM gone
