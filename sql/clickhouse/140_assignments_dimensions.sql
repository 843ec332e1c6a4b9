-- 140_assignments_dimensions.sql (ClickHouse): what an assignment's attributes say of the user: name and value of each dimension
-- Grain:  a column of assignments_rows, computed where it is read: its attributes that are text, number or boolean, and not empty;
--         of a value the first 128 characters
-- To:     141_assignments_views, rollups/user_traits, erasing
-- Rerun:  safe; changes nothing that exists
-- The parser refuses a document with an integer beyond 64 bits: there long numbers are read as texts.
alter table assignments_rows add column if not exists dimensions Array(Tuple(String, String)) alias
    arrayFilter(pair -> pair.1 != '' and pair.2 != '', arrayMap(
        pair -> (pair.1, substringUTF8(if(startsWith(pair.2, '"'), JSONExtractString(pair.2), pair.2), 1, 128)),
        arrayFilter(pair -> not match(pair.2, '^[{\\[n]'), JSONExtractKeysAndValuesRaw(
            if(isValidJSON(attributes), attributes, arrayStringConcat(arrayMap(
                token -> if(match(token, '^-?[0-9]') and length(token) >= 19, concat('"', token, '"'), token),
                extractAll(attributes, '"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*|[^"0-9-]+'))))))));
