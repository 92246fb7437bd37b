DROP TYPE
    arvo_v1.operation, arvo_v1.intervention, arvo_v1.purged, arvo_v1.switched,
    arvo.census, arvo.finding, arvo.standing;
