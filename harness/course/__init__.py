"""The course: notebooks, and the recorded runs that they read where nothing can be measured."""
