-- A checksum of the rows of a table in any order: the sum of 60 bits of the MD5 of each row. A sum detects duplicate rows;
-- with BIT_XOR, two equal rows would cancel out. NUMERIC has room for 10^10 rows; INT64 would overflow after eight. One
-- query compares both tables, so the JSON format of the system does not matter.
-- The functions: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#to_json_string,
-- …/hash_functions#md5, …/conversion_functions#cast_as_integer (a hex string becomes an INT64).
COALESCE(
  SUM(CAST(CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(TO_JSON_STRING(one_row))), 1, 15)) AS INT64) AS NUMERIC)), 0)
