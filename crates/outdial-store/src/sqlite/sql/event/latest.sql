SELECT max(
  coalesce((SELECT max(position) FROM event WHERE workspace = ?1), 0),
  coalesce((SELECT position FROM event_pruned WHERE workspace = ?1), 0))
