"""Measurements, a command each."""

from whisperx_api import telemetry

telemetry.switch_off()  # before what is measured is imported, as the engine does
