-- Whether the workspace checks its list before every call, and whether anything is on it.
SELECT do_not_call, EXISTS (SELECT 1 FROM dnc WHERE dnc.workspace = w.seq)
FROM workspace w
WHERE w.seq = $1
