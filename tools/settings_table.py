"""Print the table of settings for docs/configuration.md, from the settings themselves."""

from photogram.core.settings import ENV_PREFIX, Settings


def main() -> None:
    """One row per setting: its variable, default and meaning."""
    print("| variable | default | meaning |\n|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else field.default
        print(f"| `{ENV_PREFIX}{name.upper()}` | {default} | {field.description} |")


if __name__ == "__main__":
    main()
