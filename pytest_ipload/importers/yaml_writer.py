from pytest_ipload.importers.recording import JSON, HEADER, COOKIE, INPUT, PATTERN, ImportOptions, Recording
YAML_CAPTURES = frozenset((JSON, HEADER, COOKIE, INPUT, PATTERN))
def write_yaml(recording: Recording, options: ImportOptions) -> str:
    return ""
