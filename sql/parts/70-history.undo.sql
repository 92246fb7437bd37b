DROP TYPE arvo_v1.history_entry;
