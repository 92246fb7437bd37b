DROP TYPE arvo_v1.subscription;
DROP TABLE arvo.subscription;
