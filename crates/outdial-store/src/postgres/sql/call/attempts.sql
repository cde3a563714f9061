SELECT a.seq, a.created_at, a.number, a.round, a.state, a.token, p.seq, p.created_at, a.send_at,
  a.sent_at, a.ringing_at, a.answered_at, a.ended_at, a.disposition, a.fault, a.reason,
  a.sip_status, a.charged, a.call
FROM attempt a
JOIN phone p ON p.seq = a.caller
WHERE a.call = ANY ($1)
ORDER BY a.call, a.number
