"""The `forebay` command and where each of its subcommands lives."""

from importlib import import_module

import click

# name -> "module:command". Imported only when asked for: `forebay up` stays
# running beside the models and should not hold an HTTP client or an ORM in memory.
COMMANDS = {
    "ask": "cli.ask:ask",
    "cancel": "cli.cancel:cancel",
    "demo": "cli.demo:demo",
    "ingest": "cli.ingest:ingest",
    "jobs": "cli.jobs:jobs",
    "keys": "cli.keys:keys",
    "migrate": "cli.migrate:migrate",
    "models": "cli.models:models",
    "requeue": "cli.requeue:requeue",
    "run": "cli.run:run",
    "search": "cli.search:search",
    "status": "cli.status:status",
    "submit": "cli.submit:submit",
    "up": "cli.up:up",
    "watch": "cli.watch:watch",
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand when it is first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of all subcommands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The subcommand of that name, imported now; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="forebay", message="forebay %(version)s")
def main() -> None:
    """Forebay: inference jobs for models you run yourself."""
