"""What was found, for a person: tables for a terminal, the HTML page, Markdown."""
