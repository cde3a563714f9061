-- Whoever comes later with the same chunk waits here until this one is stored or is not. What it
-- did is written at its end (request/set_chunk).
INSERT INTO request_chunk
  (request, chunk_num, updated, deferred, do_not_call, batch_state, pause_reason, calls)
SELECT r.seq, $3, 0, 0, 0, '', NULL, ''
FROM request r
WHERE r.seq = $1 AND r.created_at / 1000 = $2
ON CONFLICT DO NOTHING
