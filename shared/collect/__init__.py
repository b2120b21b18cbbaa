"""What web pages use, as both sides know it: sites, redirect links, and items of pages."""
