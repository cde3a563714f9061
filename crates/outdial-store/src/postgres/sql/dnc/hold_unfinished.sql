-- Checked calls to a number that are not over, held: one look-up per batch.
SELECT c.seq
FROM batch b
JOIN workspace w ON w.seq = b.workspace
JOIN call c ON c.batch = b.seq AND c.phone = $2
WHERE b.workspace = $1 AND b.state <> 'deleted' AND c.state < 2 AND (w.do_not_call OR b.enable_dnc)
ORDER BY c.phone, c.seq
FOR NO KEY UPDATE OF c
