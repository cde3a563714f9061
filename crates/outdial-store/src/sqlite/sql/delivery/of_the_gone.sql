-- One process serves a file: what others have claimed is due.
UPDATE delivery SET owner = NULL, next_at = min(next_at, ?2)
WHERE owner IS NOT NULL AND owner <> ?1
