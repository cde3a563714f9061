INSERT INTO agent_version (agent, version, variables) VALUES ($1, $2, $3)
