-- What children ask for, and changes that wait for their time or for another guardian. What a child asks for and says
-- stands in details alone, as what an incident is about does.

-- +goose Up
CREATE TABLE requests (
    family_id   INTEGER NOT NULL,
    request_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    profile_id  INTEGER NOT NULL,
    device_id   INTEGER NOT NULL, -- 0: none that is known by name
    at          INTEGER NOT NULL, -- when it was asked first
    last_at     INTEGER NOT NULL,
    times       INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    details     BLOB    NOT NULL, -- JSON: what, and the message
    answer      TEXT    NOT NULL, -- '' while it is open
    answered_at INTEGER NOT NULL, -- 0: not yet
    guardian_id INTEGER NOT NULL, -- who answered; 0: the command line
    who         TEXT    NOT NULL,
    until_at    INTEGER NOT NULL  -- until when it is allowed; 0: for good, or not at all
);
CREATE INDEX requests_of ON requests (family_id, request_id DESC);

CREATE TABLE pending (
    family_id   INTEGER NOT NULL,
    pending_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    guardian_id INTEGER NOT NULL, -- who wants it
    who         TEXT    NOT NULL, -- as it was called then
    at          INTEGER NOT NULL,
    due_at      INTEGER NOT NULL, -- 0: no time brings it
    second      INTEGER NOT NULL, -- 1: another guardian has to agree
    operation   TEXT    NOT NULL,
    request     TEXT    NOT NULL, -- JSON
    what        TEXT    NOT NULL,
    why         TEXT    NOT NULL,
    weakens     TEXT    NOT NULL, -- JSON
    agreed_id   INTEGER NOT NULL, -- who agreed; 0: nobody, or the command line where agreed_who is set
    agreed_who  TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    settled_at  INTEGER NOT NULL, -- 0: it waits
    settled_who TEXT    NOT NULL,
    note        TEXT    NOT NULL, -- why it failed
    revision    INTEGER NOT NULL  -- of the family, after the change; 0: none
);
CREATE INDEX pending_of ON pending (family_id, pending_id DESC);
CREATE INDEX pending_due ON pending (due_at) WHERE state = 'waiting';
