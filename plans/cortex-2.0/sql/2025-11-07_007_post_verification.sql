-- The seed's optional marker: what was generated has been verified. Runs only after every check of the plan.
INSERT INTO provenance_links (source_type, source_ref, target_type, target_ref, relation, confidence)
VALUES ('migration', '2025-11-07_007_post_verification', 'system', 'schema_v2', 'verified', 1.0);
