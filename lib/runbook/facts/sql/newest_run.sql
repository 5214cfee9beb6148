-- The newest run of one function in a week. The time bound is for partitioned tables that require a filter.
SELECT {started_at} AS started_at, {status} AS status
FROM `{table}`
WHERE {function} = @function AND {started_at} >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY)
ORDER BY started_at DESC
LIMIT 1
