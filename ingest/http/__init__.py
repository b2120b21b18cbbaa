"""What all routes share: operations and their document, problems, bounds, clients, health."""
