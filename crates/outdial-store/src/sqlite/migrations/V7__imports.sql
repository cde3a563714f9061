-- Batches that an upload is filling, or that are being taken away again. Conventions as in V1.

CREATE TABLE import (
  batch   INTEGER PRIMARY KEY REFERENCES batch (seq),
  request INTEGER NOT NULL              -- its lease is the import's
) STRICT;
CREATE INDEX import_request ON import (request);
