-- Integers beyond 64 bits become texts of their digits, as shared/integers.py writes them since: in a document with such a number
-- an older engine finds nothing at all. Parts without one are not written anew. Bears a repetition.
ALTER TABLE events
UPDATE properties = arrayStringConcat(arrayMap(
    token -> if(
        match(token, '^-?[0-9]{21,}$')
        OR (match(token, '^-?[0-9]{19,20}$') AND (toInt128OrZero(token) > 18446744073709551615 OR toInt128OrZero(token) < -9223372036854775808)),
        concat('"', token, '"'),
        token),
    extractAll(properties, '(?s)"(?:[^"\\\\]|\\\\.)*"|-?[0-9]+(?:\\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[^"0-9-]+|-')))
WHERE match(properties, '[0-9]{19}')
SETTINGS mutations_sync = 0;
