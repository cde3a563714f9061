SELECT chunk_num, updated, deferred, batch_state, pause_reason, calls
FROM request_chunk
WHERE request = ?1
