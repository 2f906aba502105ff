DROP INDEX notes_by_body;
DROP TABLE notes;
