-- What a chunk has to know, and a block of sequence numbers that nobody else has, as long as the
-- identity's increment. Chunks hold the row together, and hold nobody up but the closer, who
-- passes over what is held so: it must not complete a batch that calls are being added to.
SELECT b.workspace, b.state, b.pause_reason, b.lane, b.enable_dnc, b.next_lane, w.do_not_call,
  EXISTS (SELECT 1 FROM dnc d WHERE d.workspace = b.workspace),
  nextval(pg_get_serial_sequence('call', 'seq'))
FROM batch b
JOIN workspace w ON w.seq = b.workspace
WHERE b.seq = $1 AND b.created_at / 1000 = $2
FOR KEY SHARE OF b
