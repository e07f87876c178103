"""The project's own method and components, as plugins like anybody else's."""
