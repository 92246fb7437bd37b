DROP TYPE arvo_v1.state_retention;
DROP TYPE arvo_v1.imported;
DROP TABLE arvo.state_round, arvo.state_retention, arvo.import_mark;
