UPDATE webhook SET failing_since = $2 WHERE seq = $1 AND failing_since IS NULL
