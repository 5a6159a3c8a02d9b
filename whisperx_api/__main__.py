"""`python -m whisperx_api` is the command line."""

from whisperx_api.cli import app

if __name__ == "__main__":
    app(prog_name="whisperx-api")
