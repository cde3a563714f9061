SELECT chunk_num, updated, deferred, do_not_call, batch_state, pause_reason, calls
FROM request_chunk
WHERE request = $1
