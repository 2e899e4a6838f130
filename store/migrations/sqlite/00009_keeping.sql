-- What guardians made of incidents, and who looked at them. What a note says and what is muted stands in details
-- alone (package journal makes and reads it), as what an incident is about does. Guardian 0 is the command line.

-- +goose Up
CREATE TABLE reviews (
    family_id   INTEGER NOT NULL,
    incident_id TEXT    NOT NULL,
    guardian_id INTEGER NOT NULL,
    who         TEXT    NOT NULL, -- as it was called then
    at          INTEGER NOT NULL,
    details     BLOB    NOT NULL, -- the note; empty: reviewed without one
    PRIMARY KEY (family_id, incident_id, guardian_id)
);

CREATE TABLE mutes (
    family_id   INTEGER NOT NULL,
    mute_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    guardian_id INTEGER NOT NULL,
    profile_id  INTEGER NOT NULL,
    who         TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    until_at    INTEGER NOT NULL, -- 0: for good
    details     BLOB    NOT NULL  -- the service or domain
);
CREATE INDEX mutes_of ON mutes (family_id, guardian_id, profile_id);

CREATE TABLE journal_views (
    family_id   INTEGER NOT NULL,
    view_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    guardian_id INTEGER NOT NULL,
    who         TEXT    NOT NULL,
    action      TEXT    NOT NULL, -- 'list', 'show', 'follow', 'export'
    profile_id  INTEGER NOT NULL, -- 0: all
    incident_id TEXT    NOT NULL, -- '': not one alone
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    times       INTEGER NOT NULL,
    incidents   INTEGER NOT NULL  -- how many were shown at most
);
CREATE INDEX journal_views_newest ON journal_views (family_id, last_at DESC);
CREATE INDEX counts_day ON counts (family_id, day);
