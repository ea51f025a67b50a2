"""What both ends share: the spool schema, exposition text, and how values are spelt. No I/O, light imports."""
