INSERT INTO request_chunk
  (request, chunk_num, updated, deferred, do_not_call, batch_state, pause_reason, calls)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
