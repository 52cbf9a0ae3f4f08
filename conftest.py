"""The test-suite runs whole pytest sessions in a directory of their own."""

pytest_plugins = ["pytester"]
