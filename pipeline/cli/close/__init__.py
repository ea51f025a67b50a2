"""`close`: a month's invoices against their lines. What ties is closed, and from then on changes only by adjustment."""
