-- The batch that wrote an incident first, for who wants to hear of each once and not of how it goes on.

-- +goose Up
ALTER TABLE incidents ADD COLUMN opened_no INTEGER NOT NULL DEFAULT 0; -- 0: before there was this column
UPDATE incidents SET opened_no = change_no
    WHERE change_no > (SELECT coalesce(max(position), 0) FROM feeds WHERE feed = 'incidents');
CREATE INDEX incidents_opened ON incidents (opened_no) WHERE opened_no > 0;
