-- Whether all transactions below this number are over.
SELECT 1 WHERE pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT >= $1
