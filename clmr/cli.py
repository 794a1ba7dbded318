"""`clmr COMMAND`: the roof over every command, each imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

# command -> (module, attribute, one line of help); the module stays unimported until the command runs.
COMMANDS = {
    "shards": ("sharding.__main__", "build", "Recordings to tar shards."),
    "verify": ("sharding.__main__", "verify", "Prove that shards, indexes and manifest agree."),
    "ls": ("sharding.__main__", "ls", "What a folder of shards holds."),
    "page": ("sharding.__main__", "page", "A page to see and hear what a folder of shards holds."),
    "pretrain": ("train.pretrain", "main", "NT-Xent pretraining."),
    "cpc": ("train.cpc", "main", "Contrastive predictive coding, the paper's self-supervised baseline."),
    "supervised": ("train.supervised", "main", "The supervised SampleCNN, end to end on labels."),
    "embed": ("train.embed", "main", "Features of every window of shards or audio files, from a frozen encoder."),
    "probe": ("train.probe", "main", "Linear probe on features."),
    "export": ("train.export", "main", "A trained encoder as one file: .pt, ONNX, safetensors."),
    "report": ("train.report", "main", "Summary, curves and one page of a run to look at and listen to."),
    "paper": ("train.runner.__main__", "main", "Trainings, probes and tables of the paper."),
    "study": ("train.study.__main__", "main", "Does it learn? Pretrained, untrained and supervised, compared."),
    "augment": (
        "clmr.augment.__main__",
        "main",
        "Hear and see every augmentation, on a recording or on made-up music.",
    ),
    "cache": ("loaders.__main__", "cache", "List or clear the cache that remote shards are streamed through."),
    "bench": ("loaders.__main__", "bench", "How fast a folder of shards can be read."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for, so that help never waits for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the chain."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, _, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup)
def main() -> None:
    """Contrastive learning of musical representations, from recordings to probe scores."""
