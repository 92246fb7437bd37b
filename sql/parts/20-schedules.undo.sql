DROP TYPE arvo_v1.fire;
DROP TYPE arvo_v1.schedule;
DROP TABLE arvo.fire_pass;
DROP TABLE arvo.schedule;
DROP TYPE arvo.cron;
