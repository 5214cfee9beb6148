-- Runs of the team's day, by source system and status.
SELECT {source_system} AS source_system, {status} AS status, COUNT(*) AS runs, MAX({started_at}) AS latest
FROM `{table}`
WHERE {started_at} >= @since AND {started_at} <= @until
GROUP BY source_system, status
ORDER BY source_system, status
