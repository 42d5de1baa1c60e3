"""The functions behind paths of the HTTP API that only pages ask for."""
