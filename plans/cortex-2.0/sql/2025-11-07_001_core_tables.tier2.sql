-- Where knowledge came from: tier 2, long-term memory. Enumerations are comments in the 2.0 document, not CHECKs.
CREATE TABLE IF NOT EXISTS provenance_links (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_type TEXT NOT NULL,
    source_ref TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_ref TEXT NOT NULL,
    relation TEXT NOT NULL,
    confidence REAL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS idx_provenance_source ON provenance_links(source_type, source_ref);
CREATE INDEX IF NOT EXISTS idx_provenance_target ON provenance_links(target_type, target_ref);
