-- What stands for the rows of a table, whatever their order: the sum of 60 bits of the MD5 of each. A sum notices a row
-- that is there twice, where BIT_XOR would let two equal rows cancel out; as NUMERIC it has room for 10^10 rows, where an
-- INT64 overflows after eight. Two tables are compared by one query, so how one system writes JSON does not matter.
-- The functions: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#to_json_string,
-- …/hash_functions#md5, …/conversion_functions#cast_as_integer (a hex string becomes an INT64).
COALESCE(
  SUM(CAST(CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(TO_JSON_STRING(one_row))), 1, 15)) AS INT64) AS NUMERIC)), 0)
