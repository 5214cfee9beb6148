-- The newest run of one function, whenever it was.
SELECT {started_at} AS started_at, {status} AS status
FROM `{table}`
WHERE {function} = @function
ORDER BY started_at DESC
LIMIT 1
