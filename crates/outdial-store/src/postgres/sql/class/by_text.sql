SELECT text, id FROM class WHERE text = ANY ($1)
