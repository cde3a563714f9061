-- With its chunks; read one by one, so that nothing is counted in vain.
SELECT r.seq, (SELECT count(*) FROM request_chunk c WHERE c.request = r.seq)
FROM request r
WHERE r.expires_at <= ?1 AND NOT (r.owner IS ?2 AND r.lease_until > ?1)
ORDER BY r.expires_at
LIMIT ?3
