INSERT INTO attempt
  (created_at, call, number, round, state, owner, token, caller, trunk, send_at, send_by)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10)
