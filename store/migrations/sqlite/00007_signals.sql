-- What incidents show together, and what has to be remembered to tell it.

-- +goose Up

-- What a signal is about stands in details alone (package journal makes and reads it).
CREATE TABLE signals (
    family_id   INTEGER NOT NULL,
    signal_id   TEXT    NOT NULL, -- the same for the same event, so that none stands twice
    profile_id  INTEGER NOT NULL,
    device_id   INTEGER NOT NULL, -- 0: not a device we know
    kind        TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    incident_id TEXT    NOT NULL, -- '' where none showed it
    again_at    INTEGER NOT NULL, -- when a device that was silent asked again; 0: not yet
    details     BLOB    NOT NULL,
    change_no   INTEGER NOT NULL, -- of the transaction that wrote the row last
    PRIMARY KEY (family_id, signal_id)
);
CREATE INDEX signals_newest ON signals (family_id, at DESC, signal_id DESC);
CREATE INDEX signals_changed ON signals (change_no);

-- One row, of this node: it belongs to no family.
CREATE TABLE signal_state (
    node      INTEGER NOT NULL PRIMARY KEY CHECK (node = 1),
    cursor    INTEGER NOT NULL, -- all incidents with a change_no up to here have been looked at
    change_no INTEGER NOT NULL  -- of the last transaction that wrote signals
);
INSERT INTO signal_state (node, cursor, change_no) VALUES (1, 0, 0);

-- What a profile tried, when last: encoded by package journal/signals.
CREATE TABLE signal_memory (
    family_id  INTEGER NOT NULL,
    profile_id INTEGER NOT NULL,
    memory     BLOB    NOT NULL,
    PRIMARY KEY (family_id, profile_id)
);

-- In which hours of the week a device usually asks, and when it will be silent unless it does.
CREATE TABLE baselines (
    family_id INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    baseline  BLOB    NOT NULL,
    due_at    INTEGER NOT NULL, -- 0: never
    signal_id TEXT    NOT NULL, -- of the silence that was told and is not over; '' is none
    PRIMARY KEY (family_id, device_id)
);
CREATE INDEX baselines_due ON baselines (due_at) WHERE due_at > 0;
