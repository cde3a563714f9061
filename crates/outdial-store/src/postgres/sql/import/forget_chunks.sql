DELETE FROM request_chunk WHERE request = $1
