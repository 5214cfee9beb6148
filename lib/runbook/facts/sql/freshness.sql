SELECT '{name}' AS table_name, MAX({column}) AS newest, TIMESTAMP_DIFF(@at, MAX({column}), MINUTE) AS minutes_stale
FROM `{table}`
WHERE {column} <= @at
