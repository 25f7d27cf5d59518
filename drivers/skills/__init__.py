"""What NERV can do on a chat page, one skill per file. Whoever combines them is elsewhere."""
