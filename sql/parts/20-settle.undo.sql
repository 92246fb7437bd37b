DROP TYPE arvo.parted;
DROP TYPE arvo.completion;
ALTER TYPE arvo.result DROP ATTRIBUTE named_in;
COMMENT ON COLUMN arvo.result.ordinal IS 'Place in the array of results, from 1.';
