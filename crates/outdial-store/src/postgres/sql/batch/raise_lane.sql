UPDATE batch SET next_lane = $2 WHERE seq = $1 AND next_lane < $2
