DROP TYPE arvo_v1.copied;
