-- ---------------------------------------------------------------------------------------------
-- gauge: what a monitoring system is to plot
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo_v1.gauge AS (
    name text,
    queue text,
    priority integer,
    state text,
    value double precision
);
COMMENT ON TYPE arvo_v1.gauge IS 'One figure for a monitoring system.';
COMMENT ON COLUMN arvo_v1.gauge.name IS 'Name of the metric, as docs/telemetry.md explains it.';
COMMENT ON COLUMN arvo_v1.gauge.queue IS
'Of which queue; an empty text for all queues beyond the limit together; NULL: of the installation.';
COMMENT ON COLUMN arvo_v1.gauge.priority IS 'Of which lane of the queue; NULL: of all.';
COMMENT ON COLUMN arvo_v1.gauge.state IS 'Of which state or room; NULL where there is one only.';
COMMENT ON COLUMN arvo_v1.gauge.value IS 'The figure: a count, seconds, bytes, a share of 1, or 1 for yes and 0 for no.';
