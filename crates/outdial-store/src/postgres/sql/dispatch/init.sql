INSERT INTO dispatch (workspace, version) VALUES ($1, 1)
