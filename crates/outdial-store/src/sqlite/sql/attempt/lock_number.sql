INSERT INTO live (workspace, phone, batch, attempt, caller, trunk, owner, reserve_s, reserve_micros,
  price, day)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
