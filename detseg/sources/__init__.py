"""Where images come from. A source lists what is there; nothing is read here."""
