INSERT OR REPLACE INTO trunk_sip (trunk, host, port, transport, username, password, from_domain,
  proxy, register, keep_alive_ms, caller_id, plus, verify_tls)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
