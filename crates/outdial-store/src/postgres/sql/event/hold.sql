-- One numbers at a time; who comes meanwhile passes by.
SELECT 1 FROM meta WHERE one = 1 FOR NO KEY UPDATE SKIP LOCKED
