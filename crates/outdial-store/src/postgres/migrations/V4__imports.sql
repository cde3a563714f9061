-- Batches that an upload is filling, or that are being taken away again. Conventions as in V1.

CREATE TABLE import (
  batch   BIGINT PRIMARY KEY REFERENCES batch (seq),
  request BIGINT NOT NULL               -- its lease is the import's
);
CREATE INDEX import_request ON import (request);

UPDATE schema_mark SET version = 4;
