-- Checked pending calls to a number: one look-up per batch.
SELECT c.seq
FROM batch b
JOIN workspace w ON w.seq = b.workspace
JOIN call c ON c.batch = b.seq AND c.phone = $2
WHERE b.workspace = $1 AND b.state <> 'deleted' AND c.state = 0 AND (w.do_not_call OR b.enable_dnc)
