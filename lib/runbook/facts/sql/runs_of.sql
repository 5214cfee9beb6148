-- The newest runs of one function, to check whether one is in progress and how the last ones ended.
SELECT {started_at} AS started_at, {status} AS status, {finished_at} AS finished_at, {error} AS error
FROM `{table}`
WHERE {function} = @function AND {started_at} >= @since
ORDER BY started_at DESC
LIMIT 20
