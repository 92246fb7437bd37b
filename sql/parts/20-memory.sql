CREATE TABLE arvo.import_mark (
    subject_digest bytea NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT import_mark_subject_digest_pkey PRIMARY KEY (subject_digest),
    CONSTRAINT import_mark_version_check CHECK (version >= 1)
);
COMMENT ON TABLE arvo.import_mark IS
'States that were taken over from elsewhere: while a state has this version, nobody has written it here. Swept after 90 days.';
COMMENT ON COLUMN arvo.import_mark.subject_digest IS 'SHA-256 of the subject.';
COMMENT ON COLUMN arvo.import_mark.version IS 'The version that was taken last.';
COMMENT ON COLUMN arvo.import_mark.at IS 'When it was taken.';
CREATE INDEX import_mark_at_idx ON arvo.import_mark (at);

CREATE TABLE arvo.state_retention (
    source text NOT NULL,
    age interval NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT state_retention_source_pkey PRIMARY KEY (source),
    CONSTRAINT state_retention_age_check
    CHECK (age >= interval '1 minute' AND age <= interval '3650 days')
);
COMMENT ON TABLE arvo.state_retention IS
'How long states of finished workflows are kept; without a row for their handler or for all, for ever.';
COMMENT ON COLUMN arvo.state_retention.source IS 'The handler; empty for all that have no row of their own.';
COMMENT ON COLUMN arvo.state_retention.age IS 'Time since the last write.';
COMMENT ON COLUMN arvo.state_retention.changed_at IS 'When this was decided.';
COMMENT ON COLUMN arvo.state_retention.changed_by IS 'Which login role decided it.';

CREATE TABLE arvo.state_round (
    only_row boolean NOT NULL DEFAULT true,
    after_digest bytea NOT NULL,
    CONSTRAINT state_round_only_row_pkey PRIMARY KEY (only_row),
    CONSTRAINT state_round_only_row_check CHECK (only_row)
) WITH (fillfactor = 50);
COMMENT ON TABLE arvo.state_round IS
'How far the round over all states has come that removes old ones; one row, updated in place.';
COMMENT ON COLUMN arvo.state_round.only_row IS 'There is one row.';
COMMENT ON COLUMN arvo.state_round.after_digest IS 'SHA-256 of the last subject looked at; empty at the start.';
INSERT INTO arvo.state_round (after_digest) VALUES ('');

CREATE TYPE arvo_v1.imported AS (
    ordinal integer,
    subject text,
    outcome text,
    version bigint,
    code text,
    detail text
);
COMMENT ON TYPE arvo_v1.imported IS 'What became of one row of a foreign memory.';
COMMENT ON COLUMN arvo_v1.imported.ordinal IS 'Its place in the array that was given, from 1.';
COMMENT ON COLUMN arvo_v1.imported.subject IS 'The workflow; NULL when the row names none.';
COMMENT ON COLUMN arvo_v1.imported.outcome IS
'taken, updated (a newer version of what was taken before), placed (only its place in the tree, or its lock), present, or refused.';
COMMENT ON COLUMN arvo_v1.imported.version IS 'The version that is stored here afterwards; NULL for none.';
COMMENT ON COLUMN arvo_v1.imported.code IS
'Why it was refused, or is present: row, subject, data, version, time, foreign, locked, busy, diverged, or gone.';
COMMENT ON COLUMN arvo_v1.imported.detail IS 'The same with its facts.';

CREATE TYPE arvo_v1.state_retention AS (
    source text,
    age interval,
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TYPE arvo_v1.state_retention IS 'How long states of finished workflows are kept.';
COMMENT ON COLUMN arvo_v1.state_retention.source IS 'The handler; NULL for all that have no rule of their own.';
COMMENT ON COLUMN arvo_v1.state_retention.age IS 'Time since the last write.';
COMMENT ON COLUMN arvo_v1.state_retention.changed_at IS 'When this was decided.';
COMMENT ON COLUMN arvo_v1.state_retention.changed_by IS 'Which login role decided it.';
