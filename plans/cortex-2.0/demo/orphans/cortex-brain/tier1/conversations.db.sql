-- Laid over shape (a): a brain that has run for long. 1,920 messages and 5,070 entities point at conversations that
-- eviction took away, 6,990 foreign-key violations in all.
WITH RECURSIVE o(i) AS (SELECT 192 UNION ALL SELECT i + 1 FROM o WHERE i < 1919)
INSERT INTO messages
SELECT printf('msg-%04d-%03d', 1 + i % 40, 1 + i / 40), printf('conv-%04d', 1 + i % 40),
       CASE (i / 40) % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
       'turn ' || (1 + i / 40) || ' of a conversation that was evicted',
       strftime('%Y-%m-%dT%H:%M:%S', '2025-09-01 08:00:00', '+' || ((1 + i % 40) * 26) || ' hours', '+' || (i / 40) || ' minutes')
FROM o;

WITH RECURSIVE o(i) AS (SELECT 507 UNION ALL SELECT i + 1 FROM o WHERE i < 5069)
INSERT INTO entities (conversation_id, entity_type, entity_value, timestamp)
SELECT printf('conv-%04d', 1 + i % 40), 'concept', 'evicted thought ' || i,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-09-01', '+' || (i * 90) || ' minutes')
FROM o;
