-- How a family's router reports its address: one a family, with a secret of its own that is no clue for questions.

-- +goose Up
CREATE TABLE links (
    family_id INTEGER NOT NULL PRIMARY KEY,
    token     TEXT    NOT NULL UNIQUE, -- the host name that the router updates
    secret    TEXT    NOT NULL,        -- SHA-256 of the password, in hexadecimal digits
    made_at   INTEGER NOT NULL,
    v4        TEXT    NOT NULL,        -- the linked address; '' is none
    v4_until  INTEGER NOT NULL,
    v6        TEXT    NOT NULL,        -- the linked /64; '' is none
    v6_until  INTEGER NOT NULL
);
CREATE INDEX links_v4 ON links (v4) WHERE v4 <> '';
CREATE INDEX links_v6 ON links (v6) WHERE v6 <> '';
