SELECT position FROM event_pruned WHERE workspace = $1
