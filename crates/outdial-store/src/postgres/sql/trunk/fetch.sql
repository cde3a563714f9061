SELECT t.seq, t.created_at, w.seq, w.created_at, t.integration, t.calls_per_second, t.channels,
  t.paused_until, t.health, t.health_detail, t.health_since, t.updated_at, t.name, t.ring_timeout_ms,
  t.max_call_s, s.host, s.port, s.transport, s.username, s.password, s.from_domain, s.proxy,
  s.register, s.keep_alive_ms, s.caller_id, s.plus, s.verify_tls
FROM trunk t
JOIN workspace w ON w.seq = t.workspace
LEFT JOIN trunk_sip s ON s.trunk = t.seq
WHERE t.seq = $1 AND t.created_at / 1000 = $2 AND t.deleted_at IS NULL
