SELECT w.seq, greatest(
  coalesce((SELECT max(position) FROM event WHERE workspace = w.seq), 0),
  coalesce((SELECT position FROM event_pruned WHERE workspace = w.seq), 0))
FROM unnest($1) AS w (seq)
