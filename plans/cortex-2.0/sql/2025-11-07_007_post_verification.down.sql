-- Takes the marker away, and the number it had used up.
DELETE FROM provenance_links
WHERE source_type = 'migration' AND source_ref = '2025-11-07_007_post_verification' AND relation = 'verified';
UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(id), 0) FROM provenance_links) WHERE name = 'provenance_links';
