-- The language that whoever signs in is written to.

-- +goose Up
ALTER TABLE accounts ADD COLUMN language TEXT NOT NULL DEFAULT ''; -- BCP 47; '': not known
