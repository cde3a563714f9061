-- ?2 is found in the digits, the kind, or the token as the API shows it. `contains` is ours.
SELECT d.seq, d.created_at, w.seq, w.created_at, d.phone, d.kind, b.seq, b.created_at, d.token,
  d.recording, d.transcript
FROM dnc d
JOIN workspace w ON w.seq = d.workspace
JOIN batch b ON b.seq = d.batch
WHERE d.workspace = ?1 AND (?2 IS NULL OR contains(CAST(d.phone AS TEXT), ?2)
  OR contains(coalesce(d.kind, ''), ?2) OR contains(uuid_text(d.token), ?2))
ORDER BY d.seq DESC
LIMIT ?3 OFFSET ?4
