DROP TABLE arvo.server_start;
