-- An earlier import of the same request: nothing goes into it any more.
UPDATE batch SET state = 'deleted', updated_at = ?2
WHERE state = 'importing' AND seq IN (SELECT batch FROM import WHERE request = ?1)
