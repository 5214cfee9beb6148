-- A copied table and its source, in one row. {past} is empty or has the time of the copy
-- (https://cloud.google.com/bigquery/docs/access-historical-data), {checksum} is sql/checksum.sql or NULL.
SELECT '{name}' AS copy, copied.row_count AS copy_rows, source.row_count AS source_rows,
  copied.checksum AS copy_checksum, source.checksum AS source_checksum
FROM (SELECT COUNT(*) AS row_count, {checksum} AS checksum FROM `{copy}` AS one_row) AS copied
CROSS JOIN (SELECT COUNT(*) AS row_count, {checksum} AS checksum FROM `{source}` AS one_row {past}) AS source
