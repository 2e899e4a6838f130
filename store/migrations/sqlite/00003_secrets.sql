-- What the server must keep to itself: private keys, certificates, accounts and orders at certificate authorities.
-- They belong to no family, and backups leave them out.

-- +goose Up
CREATE TABLE secrets (
    name        TEXT    PRIMARY KEY, -- levels separated by '/'
    value       BLOB    NOT NULL,
    modified_at INTEGER NOT NULL
);

-- What one node alone may do at a time. A lease that is over is nobody's.
CREATE TABLE leases (
    name     TEXT    PRIMARY KEY,
    holder   TEXT    NOT NULL,
    until_at INTEGER NOT NULL
);
