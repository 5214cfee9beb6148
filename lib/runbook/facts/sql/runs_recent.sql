-- All runs of the last hours, newest first, for the diagnosis.
SELECT {started_at} AS started_at, {function} AS function, {source_system} AS source_system, {status} AS status,
  {finished_at} AS finished_at, {error} AS error
FROM `{table}`
WHERE {started_at} >= @since AND {started_at} <= @until
ORDER BY started_at DESC
LIMIT 1000
