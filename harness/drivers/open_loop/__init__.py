"""The generator that sends at intended times, whatever the server does."""
