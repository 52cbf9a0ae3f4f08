"""Imports: HAR recordings, curl command lines and OpenAPI documents become load tests."""
