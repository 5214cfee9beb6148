-- The newest run of one function in a week. The bound in time is for tables that want one for their partitions.
SELECT {started_at} AS started_at, {status} AS status
FROM `{table}`
WHERE {function} = @function AND {started_at} >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY)
ORDER BY started_at DESC
LIMIT 1
