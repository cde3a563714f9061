UPDATE request_chunk SET updated = $3, deferred = $4, do_not_call = $5, batch_state = $6,
  pause_reason = $7, calls = $8
WHERE request = $1 AND chunk_num = $2
