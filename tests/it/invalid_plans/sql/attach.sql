CREATE TABLE tags (name TEXT);
ATTACH DATABASE 'other.db' AS other;
