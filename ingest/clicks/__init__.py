"""Routes that count clicks. The front answers plain clicks before they come here."""
