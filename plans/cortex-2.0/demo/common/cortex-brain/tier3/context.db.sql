-- Tier 3 of a CORTEX 1.0 brain: two years of git activity of six people, and the files that change most.

CREATE TABLE context_git_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    metric_date DATE NOT NULL,
    commits_count INTEGER NOT NULL DEFAULT 0,
    lines_added INTEGER NOT NULL DEFAULT 0,
    lines_deleted INTEGER NOT NULL DEFAULT 0,
    net_growth INTEGER NOT NULL DEFAULT 0,
    files_changed INTEGER NOT NULL DEFAULT 0,
    contributor TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (metric_date, contributor)
);
CREATE TABLE context_file_hotspots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file_path TEXT NOT NULL,
    period_start DATE NOT NULL,
    period_end DATE NOT NULL,
    total_commits INTEGER NOT NULL DEFAULT 0,
    file_edits INTEGER NOT NULL DEFAULT 0,
    churn_rate REAL NOT NULL CHECK (churn_rate >= 0.0 AND churn_rate <= 1.0),
    stability TEXT NOT NULL CHECK (stability IN ('STABLE', 'MODERATE', 'UNSTABLE')),
    last_modified TIMESTAMP,
    lines_changed INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (file_path, period_start, period_end)
);
CREATE INDEX idx_git_contributor ON context_git_metrics(contributor);
CREATE INDEX idx_git_date ON context_git_metrics(metric_date DESC);
CREATE INDEX idx_hotspot_churn ON context_file_hotspots(churn_rate DESC);
CREATE INDEX idx_hotspot_file ON context_file_hotspots(file_path);

WITH RECURSIVE
    d(day) AS (SELECT 0 UNION ALL SELECT day + 1 FROM d WHERE day < 729),
    who(k, name) AS (VALUES (1, 'ada'), (2, 'bela'), (3, 'chidi'), (4, 'dana'), (5, 'emil'), (6, 'farah'))
INSERT INTO context_git_metrics
    (metric_date, commits_count, lines_added, lines_deleted, net_growth, files_changed, contributor, created_at)
SELECT date('2023-11-07', '+' || day || ' days'), (day * k) % 9, (day * k * 7) % 400, (day * k * 5) % 250,
       (day * k * 7) % 400 - (day * k * 5) % 250, (day + k) % 14, name,
       datetime('2023-11-07 23:50:00', '+' || day || ' days')
FROM d, who;

WITH RECURSIVE
    f(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM f WHERE i < 150),
    w(week) AS (SELECT 0 UNION ALL SELECT week + 1 FROM w WHERE week < 19)
INSERT INTO context_file_hotspots
    (file_path, period_start, period_end, total_commits, file_edits, churn_rate, stability, last_modified, lines_changed, created_at, updated_at)
SELECT printf('src/%s/part_%03d.py', CASE i % 5 WHEN 0 THEN 'billing' WHEN 1 THEN 'search' WHEN 2 THEN 'report' WHEN 3 THEN 'cache' ELSE 'net' END, i),
       date('2025-06-02', '+' || (week * 7) || ' days'), date('2025-06-08', '+' || (week * 7) || ' days'),
       40, (i * (week + 1)) % 30, ((i * (week + 1)) % 30) / 40.0,
       CASE WHEN (i * (week + 1)) % 30 < 4 THEN 'STABLE' WHEN (i * (week + 1)) % 30 < 12 THEN 'MODERATE' ELSE 'UNSTABLE' END,
       datetime('2025-06-08 17:00:00', '+' || (week * 7) || ' days'), (i * week * 3) % 900,
       datetime('2025-06-08 23:55:00', '+' || (week * 7) || ' days'), datetime('2025-06-08 23:55:00', '+' || (week * 7) || ' days')
FROM f, w;
