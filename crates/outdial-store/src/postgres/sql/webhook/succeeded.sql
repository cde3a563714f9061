UPDATE webhook SET failing_since = NULL WHERE seq = $1 AND failing_since IS NOT NULL
