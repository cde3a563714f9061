UPDATE batch SET state = 'importing' WHERE seq = $1
