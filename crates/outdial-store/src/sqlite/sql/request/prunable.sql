-- With its chunks; read one by one, so that nothing is counted in vain. What this instance has in
-- work stays, whatever the clock was set to: its chunks are still to come.
SELECT r.seq, (SELECT count(*) FROM request_chunk c WHERE c.request = r.seq)
FROM request r
WHERE r.expires_at <= ?1 AND r.owner IS NOT ?2
ORDER BY r.expires_at
LIMIT ?3
