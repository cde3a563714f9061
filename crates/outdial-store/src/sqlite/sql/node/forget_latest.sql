DELETE FROM attempt_latest AS t
WHERE (SELECT count(*) FROM attempt_latest o
       WHERE o.workspace = t.workspace AND o.attempt > t.attempt) >= 2
