-- Make the salts of today and the next two days that are not there; the first writer wins. Never those of an older day: its
-- visitors would change in its midst. $1 an array of three salts
INSERT INTO web_salts (day, salt)
SELECT (now() AT TIME ZONE 'UTC')::date + (number - 1)::integer, salt
FROM unnest($1::bytea[]) WITH ORDINALITY AS made (salt, number)
ON CONFLICT (day) DO NOTHING
