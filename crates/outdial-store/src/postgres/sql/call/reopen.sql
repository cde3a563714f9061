-- One with a disposition is finished at once, in its new round.
UPDATE call c SET class = r.class, lane = $1, agent = $2, agent_version = $3, updated_at = $4,
  state = CASE WHEN r.disposition IS NULL THEN 0 ELSE 2 END, is_retry = FALSE,
  round = c.round + 1, charged = 0, uncharged = 0, not_before = $4, wait_reason = NULL,
  disposition = coalesce(r.disposition, c.disposition), disposition_reason = r.reason,
  picked = FALSE
FROM unnest($5, $6, $7, $8) AS r (seq, class, disposition, reason)
WHERE c.seq = r.seq
