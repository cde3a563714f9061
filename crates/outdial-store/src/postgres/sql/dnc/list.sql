SELECT d.seq, d.created_at, w.seq, w.created_at, d.phone, d.kind, b.seq, b.created_at, d.token,
  d.recording, d.transcript
FROM dnc d
JOIN workspace w ON w.seq = d.workspace
JOIN batch b ON b.seq = d.batch
WHERE d.seq = ANY ($1)
ORDER BY d.seq DESC
