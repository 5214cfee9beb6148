-- The newest failed runs of the team's day, with the error if the system records it.
SELECT {started_at} AS started_at, {source_system} AS source_system, {function} AS function, {error} AS error
FROM `{table}`
WHERE {started_at} >= @since AND {started_at} <= @until AND {status} = 'failed'
ORDER BY started_at DESC, source_system
LIMIT 20
