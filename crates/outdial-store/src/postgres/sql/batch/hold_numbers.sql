-- Until this transaction ends they are neither deleted nor bound to another agent.
SELECT seq
FROM phone
WHERE seq = ANY ($1)
ORDER BY seq
FOR SHARE
