-- A page of the salts by day. $1 the last day of the page before, or the first of all; $2 rows at most
SELECT day, salt FROM web_salts WHERE day > $1 ORDER BY day LIMIT $2
