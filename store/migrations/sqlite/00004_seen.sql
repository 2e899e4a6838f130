-- The minute in which each device asked last: not what for, and not from where.

-- +goose Up
CREATE TABLE seen (
    family_id INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    at        INTEGER NOT NULL, -- the minute's beginning
    PRIMARY KEY (family_id, device_id)
);
