-- The runs that the places from $2 on, before $3, of a batch's calls are in, each with the place of
-- its first.
SELECT r.before, r.first_seq, r.span, r.count
FROM (
  SELECT first_seq, span, count,
    (sum(count) OVER (ORDER BY first_seq) - count)::BIGINT AS before
  FROM call_run
  WHERE batch = $1
) r
WHERE r.before < $3 AND r.before + r.count > $2
ORDER BY r.first_seq
