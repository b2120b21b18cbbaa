-- A number that differs whenever a salt was made or removed: salts never change
SELECT coalesce(sum(day - date '2000-01-01'), 0)::bigint * 1000 + count(*) FROM web_salts
