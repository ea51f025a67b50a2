"""What GPU hosts and engines say of themselves, at the moment they are asked."""
