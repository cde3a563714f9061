INSERT INTO trunk_sip (trunk, host, port, transport, username, password, from_domain,
  proxy, register, keep_alive_ms, caller_id, plus, verify_tls)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (trunk) DO UPDATE SET host = excluded.host, port = excluded.port, transport = excluded.transport,
  username = excluded.username, password = excluded.password, from_domain = excluded.from_domain,
  proxy = excluded.proxy, register = excluded.register, keep_alive_ms = excluded.keep_alive_ms,
  caller_id = excluded.caller_id, plus = excluded.plus, verify_tls = excluded.verify_tls
