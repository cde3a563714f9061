-- Of each number: it is listed, and checked whatever its batch says; it is on the phone; when it
-- was called the n-th latest time after an instant, n = earlier + 1.
SELECT q.i, w.do_not_call,
  EXISTS (SELECT 1 FROM dnc d WHERE d.workspace = $1 AND d.phone = q.phone),
  EXISTS (SELECT 1 FROM live l WHERE l.workspace = $1 AND l.phone = q.phone),
  (SELECT p.at
   FROM person_attempt p
   WHERE p.workspace = $1 AND p.phone = q.phone AND p.at > q.since AND q.earlier IS NOT NULL
   ORDER BY p.at DESC
   LIMIT 1 OFFSET coalesce(q.earlier, 0))
FROM unnest($2, $3, $4) WITH ORDINALITY AS q (phone, since, earlier, i)
JOIN workspace w ON w.seq = $1
