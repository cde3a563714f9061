SELECT max(
  coalesce((SELECT max(sequence) FROM delivery WHERE webhook = ?1 AND batch = ?2), 0),
  coalesce((SELECT sequence FROM delivery_pruned WHERE webhook = ?1 AND batch = ?2), 0))
