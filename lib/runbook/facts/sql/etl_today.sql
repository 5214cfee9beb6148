-- Runs of the team's day, by source system and status. Runs that neither succeeded nor failed are counted separately if a
-- later run of the same function succeeded: they are over, although their rows have no end. If no column names the
-- function, it is NULL, so that a later run of the same source system counts.
SELECT source_system, status, COUNT(*) AS runs, MAX(started_at) AS latest, outlived
FROM (
  SELECT {source_system} AS source_system, {status} AS status, {started_at} AS started_at,
    COALESCE({status} NOT IN ('success', 'failed') AND {started_at} < MAX(IF({status} = 'success', {started_at}, NULL))
      OVER (PARTITION BY {source_system}, {function}), FALSE) AS outlived
  FROM `{table}`
  WHERE {started_at} >= @since AND {started_at} <= @until
)
GROUP BY source_system, status, outlived
ORDER BY source_system, status, outlived
