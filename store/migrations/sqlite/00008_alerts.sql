-- Ways to guardians, how they want to hear of things, and what is on its way. What is secret of a channel stands in
-- secrets, as alerts/FAMILY/CHANNEL. The outbox says which message, never what it says: that is read when it is sent.

-- +goose Up
CREATE TABLE channels (
    family_id   INTEGER NOT NULL,
    channel_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    guardian_id INTEGER NOT NULL, -- 0: the household, where no guardian is named
    kind        TEXT    NOT NULL,
    settings    TEXT    NOT NULL, -- JSON
    made_at     INTEGER NOT NULL,
    sent_at     INTEGER NOT NULL, -- the last message that was delivered; 0: none
    failed_at   INTEGER NOT NULL, -- the last try that failed; 0: none
    error       TEXT    NOT NULL, -- of the last try; '' is well
    gone        INTEGER NOT NULL, -- 1: whoever is behind it gave it up
    UNIQUE (family_id, channel_id)
);

CREATE TABLE preferences (
    family_id   INTEGER NOT NULL,
    guardian_id INTEGER NOT NULL,
    document    TEXT    NOT NULL, -- JSON
    PRIMARY KEY (family_id, guardian_id)
);

-- When each channel's next digest is due, and where the one before ended.
CREATE TABLE digests (
    family_id  INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    period     TEXT    NOT NULL,
    from_at    INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    PRIMARY KEY (family_id, channel_id, period)
);
CREATE INDEX digests_due ON digests (due_at);

-- What a channel was told of, or will be.
CREATE TABLE told (
    family_id  INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    feed       TEXT    NOT NULL,
    event_id   TEXT    NOT NULL,
    profile_id INTEGER NOT NULL,
    urgent     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    message_id TEXT    NOT NULL, -- '' while it waits for one
    PRIMARY KEY (family_id, channel_id, feed, event_id)
);
CREATE INDEX told_due ON told (due_at) WHERE message_id = '';
CREATE INDEX told_at ON told (at);
CREATE INDEX told_message ON told (family_id, message_id);

CREATE TABLE outbox (
    family_id  INTEGER NOT NULL,
    message_id TEXT    NOT NULL, -- the idempotency key
    channel_id INTEGER NOT NULL,
    period     TEXT    NOT NULL, -- 'immediate' is an alert, the others are digests
    from_at    INTEGER NOT NULL, -- what a digest sums up
    until_at   INTEGER NOT NULL,
    urgent     INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    tries      INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    PRIMARY KEY (family_id, message_id)
);
CREATE INDEX outbox_next ON outbox (next_at) WHERE state = 'waiting';
CREATE INDEX outbox_made ON outbox (made_at);
CREATE INDEX outbox_channel ON outbox (family_id, channel_id, made_at);

-- How far each feed was read: of this node, of no family.
CREATE TABLE feeds (
    feed     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
);
