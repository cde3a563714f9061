INSERT INTO request_chunk
  (request, chunk_num, updated, deferred, batch_state, pause_reason, calls)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
