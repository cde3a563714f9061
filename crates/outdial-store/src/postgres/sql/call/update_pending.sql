-- One with a disposition is finished at once, and keeps its `picked`.
UPDATE call c SET class = r.class, lane = coalesce($1, c.lane), agent = $2, agent_version = $3,
  updated_at = $4, state = CASE WHEN r.disposition IS NULL THEN 0 ELSE 2 END,
  disposition = coalesce(r.disposition, c.disposition),
  disposition_reason = CASE WHEN r.disposition IS NULL THEN c.disposition_reason ELSE r.reason END
FROM unnest($5, $6, $7, $8) AS r (seq, class, disposition, reason)
WHERE c.seq = r.seq
