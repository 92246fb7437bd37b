"""Two example workflows, which ``python -m arvo_plpg demo`` runs."""
