-- Success and failure for each of the team's days.
SELECT
  DATE({started_at}, @zone) AS date,
  COUNTIF({status} = 'success') AS success,
  COUNTIF({status} = 'failed') AS failed
FROM `{table}`
WHERE {started_at} >= @since AND {started_at} <= @until
GROUP BY date
ORDER BY date
