-- A block of sequence numbers that nobody else has: as long as the identity's increment.
SELECT nextval(pg_get_serial_sequence('call', 'seq'))
