// Progressive enhancement alone: every page works without it.
