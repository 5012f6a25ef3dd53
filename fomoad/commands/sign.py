"""`fomoad sign`: its arguments, and the functions that it calls."""

import argparse
from pathlib import Path

HELP = "Sign the model files of a directory, so that predict --verify-key takes these and no others."


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="the output directory of a training")
    parser.add_argument("--signing-key", type=Path, help="a secret key of minisign without a password")
    parser.add_argument("--make-key", type=Path, metavar="NAME", help="make a key: NAME.key, to be kept, and NAME.pub")
    parser.add_argument("--comment", default="approved", help="a line that is signed too (default: approved)")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from fomoad.errors import UserError
    from fomoad.progress import log
    from fomoad.verify import signing

    if arguments.make_key:
        key = signing.make_key()
        _write_new(arguments.make_key.with_suffix(".key"), key.text(), 0o600)
        _write_new(arguments.make_key.with_suffix(".pub"), key.public().text(), 0o644)
        log(f"Wrote {arguments.make_key.with_suffix('.key')}, which signs: keep it secret")
        log(f"Wrote {arguments.make_key.with_suffix('.pub')}, for predict --verify-key: {key.public().line()}")
    elif arguments.directory and arguments.signing_key:
        if not arguments.comment.isprintable():
            raise UserError("--comment must be one line of plain text: correct it.")
        key = signing.read_signing_key(arguments.signing_key)
        names = signing.sign_models(arguments.directory, key, arguments.comment)
        log(f"Signed {', '.join(names)}: {arguments.directory / signing.SIGNATURE_FILE}")
    else:
        raise UserError("There is nothing to sign: give a directory and --signing-key, or --make-key NAME.")


def _write_new(path: Path, content: str, mode: int) -> None:
    import os

    from fomoad.errors import UserError

    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"The key {path} cannot be written ({error.strerror}): give another name.") from error
