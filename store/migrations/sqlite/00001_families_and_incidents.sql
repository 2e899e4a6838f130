-- Times are Unix milliseconds, UTC. Every table leads with family_id, so that families can live in different
-- databases. IDs of profiles, devices, rules and changes are never used again (AUTOINCREMENT): an incident of a
-- removed device must not become another device's.

-- +goose Up
CREATE TABLE families (
    family_id          INTEGER PRIMARY KEY,
    name               TEXT    NOT NULL,
    zone               TEXT    NOT NULL, -- IANA name; '' is the server's
    default_profile_id INTEGER NOT NULL,
    revision           INTEGER NOT NULL  -- counts the changes
);

CREATE TABLE profiles (
    family_id  INTEGER NOT NULL REFERENCES families (family_id),
    profile_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    name_key   TEXT    NOT NULL, -- the name in lower case
    preset     TEXT    NOT NULL,
    UNIQUE (family_id, profile_id),
    UNIQUE (family_id, name_key)
);

-- Choices that differ from the preset.
CREATE TABLE choices (
    family_id  INTEGER NOT NULL,
    profile_id INTEGER NOT NULL,
    kind       TEXT    NOT NULL, -- 'category' or 'service'
    subject    TEXT    NOT NULL, -- its ID
    choice     TEXT    NOT NULL,
    PRIMARY KEY (family_id, profile_id, kind, subject),
    FOREIGN KEY (family_id, profile_id) REFERENCES profiles (family_id, profile_id)
);

CREATE TABLE rules (
    family_id  INTEGER NOT NULL,
    rule_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    profile_id INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    exact      INTEGER NOT NULL, -- 1: the name alone
    allow      INTEGER NOT NULL, -- 1: allow, 0: deny
    until_at   INTEGER NOT NULL, -- 0: for ever
    UNIQUE (family_id, profile_id, name, exact),
    FOREIGN KEY (family_id, profile_id) REFERENCES profiles (family_id, profile_id)
);

CREATE TABLE devices (
    family_id        INTEGER NOT NULL,
    device_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    profile_id       INTEGER NOT NULL,
    usual_profile_id INTEGER NOT NULL, -- 0, or the profile it goes back to when an exemption ends
    name             TEXT    NOT NULL,
    name_key         TEXT    NOT NULL,
    until_at         INTEGER NOT NULL, -- 0: for ever
    UNIQUE (family_id, device_id),
    UNIQUE (family_id, name_key),
    FOREIGN KEY (family_id, profile_id) REFERENCES profiles (family_id, profile_id)
);

CREATE TABLE device_networks (
    family_id INTEGER NOT NULL,
    network   TEXT    NOT NULL, -- canonical, '192.168.1.20/32'
    device_id INTEGER NOT NULL,
    PRIMARY KEY (family_id, network),
    FOREIGN KEY (family_id, device_id) REFERENCES devices (family_id, device_id)
);

-- Who changed what, for the guardians.
CREATE TABLE changes (
    family_id INTEGER NOT NULL,
    change_id INTEGER PRIMARY KEY AUTOINCREMENT,
    revision  INTEGER NOT NULL, -- of the family, after the change
    at        INTEGER NOT NULL,
    who       TEXT    NOT NULL,
    what      TEXT    NOT NULL,
    UNIQUE (family_id, revision)
);

-- What an incident is about stands in details alone (package journal makes and reads it).
CREATE TABLE incidents (
    family_id   INTEGER NOT NULL,
    incident_id TEXT    NOT NULL,
    profile_id  INTEGER NOT NULL,
    device_id   INTEGER NOT NULL, -- 0: not a device we know
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    open_key    TEXT    NOT NULL, -- '' once it cannot grow any more
    details     BLOB    NOT NULL,
    PRIMARY KEY (family_id, incident_id)
);
CREATE INDEX incidents_newest ON incidents (family_id, last_at DESC, incident_id DESC);
CREATE INDEX incidents_open ON incidents (last_at) WHERE open_key <> '';

CREATE TABLE counts (
    family_id  INTEGER NOT NULL,
    profile_id INTEGER NOT NULL,
    day        TEXT    NOT NULL, -- UTC, '2026-11-23'
    category   TEXT    NOT NULL,
    tries      INTEGER NOT NULL,
    queries    INTEGER NOT NULL,
    PRIMARY KEY (family_id, profile_id, day, category)
);
