INSERT INTO workspace (created_at, name, settings, do_not_call) VALUES ($1, $2, $3, $4)
RETURNING seq
