UPDATE batch SET state = 'active', pause_reason = NULL
WHERE seq = $1 AND state = 'paused' AND pause_reason = 'no_numbers'
