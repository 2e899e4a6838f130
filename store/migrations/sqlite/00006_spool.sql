-- How far the journal has come, in the transaction that wrote what it read; and what could not be kept.

-- +goose Up

-- The batch that wrote the row last. Whoever follows incidents remembers the last number that it has seen.
ALTER TABLE incidents ADD COLUMN change_no INTEGER NOT NULL DEFAULT 0;
CREATE INDEX incidents_changed ON incidents (change_no);

-- One row, of this node: it belongs to no family.
CREATE TABLE journal_state (
    node      INTEGER NOT NULL PRIMARY KEY CHECK (node = 1),
    spool     INTEGER NOT NULL, -- which spool the position is of
    position  INTEGER NOT NULL, -- all up to here is in incidents and counts
    change_no INTEGER NOT NULL  -- of the last batch
);
INSERT INTO journal_state (node, spool, position, change_no) VALUES (1, 0, 0, 0);

-- When attempts could not be kept, and how many at most: of this node, of no family.
CREATE TABLE losses (
    loss_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    from_at  INTEGER NOT NULL,
    until_at INTEGER NOT NULL,
    lost     INTEGER NOT NULL
);
