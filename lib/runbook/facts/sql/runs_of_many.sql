-- The newest runs of several functions, to see whether each ran well since it started anew.
SELECT {function} AS function, {started_at} AS started_at, {status} AS status
FROM `{table}`
WHERE {function} IN UNNEST(@functions) AND {started_at} >= @since
ORDER BY started_at DESC
LIMIT 500
