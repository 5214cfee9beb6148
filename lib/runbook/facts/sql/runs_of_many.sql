-- The newest runs of several functions, to check whether each ran successfully since its new revision.
SELECT {function} AS function, {started_at} AS started_at, {status} AS status
FROM `{table}`
WHERE {function} IN UNNEST(@functions) AND {started_at} >= @since
ORDER BY started_at DESC
LIMIT 500
