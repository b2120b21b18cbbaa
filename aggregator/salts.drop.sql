-- Remove the salts of days that have been over everywhere for an hour: 37 hours after they began in UTC
DELETE FROM web_salts WHERE now() >= (day::timestamp AT TIME ZONE 'UTC') + interval '37 hours'
