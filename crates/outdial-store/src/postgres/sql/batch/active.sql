SELECT seq FROM batch WHERE workspace = $1 AND state = 'active' ORDER BY seq DESC
