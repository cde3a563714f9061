UPDATE attempt SET state = ?2, sent_at = coalesce(?3, sent_at),
  ringing_at = coalesce(?4, ringing_at), answered_at = coalesce(?5, answered_at), ended_at = ?6,
  disposition = ?7, fault = ?8, reason = ?9, sip_status = ?10, charged = ?11
WHERE seq = ?1
