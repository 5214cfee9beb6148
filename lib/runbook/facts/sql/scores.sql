-- Scored accounts for each of the newest seven dates.
SELECT {date} AS score_date, COUNT(*) AS accounts
FROM `{table}`
WHERE {date} <= @today
GROUP BY score_date
ORDER BY score_date DESC
LIMIT 7
