-- The newest runs, newest first. {which} is all of one time, or those of one or several functions.
SELECT {started_at} AS started_at, {function} AS function, {source_system} AS source_system, {status} AS status,
  {finished_at} AS finished_at, {error} AS error, {records} AS records
FROM `{table}`
WHERE {which} AND {started_at} >= @since
ORDER BY started_at DESC
LIMIT {most}
