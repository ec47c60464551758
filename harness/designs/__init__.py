"""Which target gets which load when. Pure."""
