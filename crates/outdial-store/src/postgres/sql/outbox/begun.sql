-- All transactions that have begun to write are below this number.
SELECT pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT
