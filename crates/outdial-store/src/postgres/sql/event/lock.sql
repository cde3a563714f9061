-- Whoever takes the last but one delivery of an event, and whoever takes the last, come one after
-- the other: each would see the other's delivery else, and nobody that none is left. A statement of
-- its own, since the next one sees what was committed while this one waited.
SELECT e.seq FROM event e WHERE e.seq = ANY ($1) ORDER BY e.seq FOR UPDATE
