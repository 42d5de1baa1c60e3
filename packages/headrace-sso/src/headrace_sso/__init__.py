"""Sign-in at the server by an OpenID Connect provider."""
