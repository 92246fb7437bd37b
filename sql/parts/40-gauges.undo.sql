DROP TYPE arvo_v1.gauge;
