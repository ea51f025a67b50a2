"""A build is a pure function of landing and code; its cache is content-addressed."""
