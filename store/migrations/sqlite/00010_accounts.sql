-- Who signs in to the console, and with what. Family 0 is nobody's: an account that runs this server without being of a
-- family. What proves a session, a token or a link is random and long, and kept as its SHA-256 in hexadecimal digits.

-- +goose Up
CREATE TABLE accounts (
    family_id   INTEGER NOT NULL,
    account_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    guardian_id INTEGER NOT NULL, -- 0: of no family
    operator    INTEGER NOT NULL, -- 1: runs this server
    name        TEXT    NOT NULL, -- what is typed to sign in
    name_key    TEXT    NOT NULL UNIQUE,
    password    TEXT    NOT NULL, -- argon2id, in the form of its reference implementation; '': none opens it
    totp        TEXT    NOT NULL, -- the secret in base 32; '': none
    totp_step   INTEGER NOT NULL, -- the newest step that a code was taken of
    handle      TEXT    NOT NULL UNIQUE, -- how passkeys name it, in hexadecimal digits
    made_at     INTEGER NOT NULL
);
CREATE UNIQUE INDEX accounts_guardian ON accounts (family_id, guardian_id) WHERE guardian_id <> 0;

CREATE TABLE recovery_codes (
    family_id  INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    PRIMARY KEY (account_id, hash)
);

CREATE TABLE passkeys (
    family_id  INTEGER NOT NULL,
    passkey_id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    credential TEXT    NOT NULL UNIQUE, -- its ID, in hexadecimal digits
    document   TEXT    NOT NULL, -- JSON: the public key and what is kept to check it
    name       TEXT    NOT NULL,
    made_at    INTEGER NOT NULL,
    used_at    INTEGER NOT NULL
);
CREATE INDEX passkeys_of ON passkeys (account_id);

CREATE TABLE sessions (
    family_id  INTEGER NOT NULL,
    session_id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    hash       TEXT    NOT NULL UNIQUE,
    agent      TEXT    NOT NULL, -- the kind of browser
    made_at    INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    proved_at  INTEGER NOT NULL, -- when it was last proven who sits there
    idle_at    INTEGER NOT NULL, -- it ends then, unless it is used
    until_at   INTEGER NOT NULL  -- it ends then
);
CREATE INDEX sessions_of ON sessions (account_id);

CREATE TABLE api_tokens (
    family_id  INTEGER NOT NULL,
    token_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    hash       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL, -- words with a blank between
    made_at    INTEGER NOT NULL,
    used_at    INTEGER NOT NULL, -- 0: never
    until_at   INTEGER NOT NULL  -- 0: for good
);
CREATE INDEX api_tokens_of ON api_tokens (account_id);

-- What one visit may do without an account: set the server up, join a family, choose a new password.
CREATE TABLE passes (
    family_id   INTEGER NOT NULL,
    pass_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL, -- 'first', 'join', 'operator', 'reset'
    hash        TEXT    NOT NULL UNIQUE,
    account_id  INTEGER NOT NULL, -- reset: whose password; else 0
    guardian_id INTEGER NOT NULL, -- join: who is there already; 0: somebody new
    name        TEXT    NOT NULL, -- join: of the guardian
    role        TEXT    NOT NULL, -- join: of the guardian
    who         TEXT    NOT NULL, -- made it
    made_at     INTEGER NOT NULL,
    until_at    INTEGER NOT NULL
);

-- What happened at the door. It holds no secret, and of an address its network alone.
CREATE TABLE door (
    family_id  INTEGER NOT NULL,
    event_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL, -- 0: nobody's, or nobody knows whose
    who        TEXT    NOT NULL,
    what       TEXT    NOT NULL, -- a word, see store/door.go
    detail     TEXT    NOT NULL,
    network    TEXT    NOT NULL, -- '': from the command line
    agent      TEXT    NOT NULL,
    at         INTEGER NOT NULL, -- the last time
    times      INTEGER NOT NULL  -- so often within a short while
);
CREATE INDEX door_newest ON door (family_id, at);
