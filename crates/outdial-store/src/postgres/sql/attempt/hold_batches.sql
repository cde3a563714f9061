-- Batches that a plan writes, before it locks their calls: like everybody who takes both.
SELECT 1 FROM batch WHERE seq = ANY ($1) AND workspace = $2 ORDER BY seq FOR NO KEY UPDATE
