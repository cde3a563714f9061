-- The call is locked: nobody takes it back or adds to it meanwhile.
SELECT a.state, a.trunk, a.caller, c.seq, c.phone, c.picked, b.seq, b.workspace,
  b.state = 'deleted', b.expires_at,
  (w.do_not_call OR b.enable_dnc)
    AND EXISTS (SELECT 1 FROM dnc n WHERE n.workspace = b.workspace AND n.phone = c.phone),
  l.day, l.cancel_requested, coalesce(a.rescuer, a.owner),
  d.call IS NOT NULL, d.disposition IS NOT NULL,
  CASE WHEN $3 > coalesce(l.reserve_s, 0) OR $4 > coalesce(l.reserve_micros, 0)
    THEN b.settings END
FROM attempt a
JOIN call c ON c.seq = a.call
JOIN batch b ON b.seq = c.batch
JOIN workspace w ON w.seq = b.workspace
LEFT JOIN live l ON l.workspace = b.workspace AND l.phone = c.phone AND l.attempt = a.seq
LEFT JOIN call_deferred d ON d.call = c.seq
WHERE a.seq = $1 AND a.created_at / 1000 = $2
FOR UPDATE OF a
