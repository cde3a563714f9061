SELECT a.seq, a.created_at
FROM live l
JOIN batch b ON b.seq = l.batch
JOIN workspace w ON w.seq = l.workspace
JOIN attempt a ON a.seq = l.attempt
WHERE l.owner = $1 AND l.rescuer IS NULL AND (b.state = 'deleted' OR l.cancel_requested
  OR ((w.do_not_call OR b.enable_dnc)
    AND EXISTS (SELECT 1 FROM dnc d WHERE d.workspace = l.workspace AND d.phone = l.phone)))
ORDER BY a.seq
