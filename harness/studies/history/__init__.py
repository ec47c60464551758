"""Every headline figure over the commits."""
