-- The last of what may be folded at once, and which transactions had begun to write by then: all
-- below this number. Whoever took a smaller `seq` is among them, because an end locks its attempt
-- before it takes one.
SELECT max(seq), pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT
FROM (SELECT seq FROM batch_delta WHERE seq > $1 ORDER BY seq LIMIT $2) d
