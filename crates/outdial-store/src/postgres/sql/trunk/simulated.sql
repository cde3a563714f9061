SELECT seq, created_at FROM trunk WHERE workspace = $1 AND integration = 'simulated'
