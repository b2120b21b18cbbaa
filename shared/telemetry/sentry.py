"""Send traces to Sentry if TALLYBOOK_SENTRY_DSN is set. Only processes off the click path call `start`."""

from shared.settings import Settings, SettingsError

#: Share of batches that start a trace. A batch with an event that is traced already continues its trace.
_TRACED = 0.01


def start(settings: Settings) -> None:
    """Send traces and errors to Sentry from now on. Without a DSN nothing is loaded. Raises SettingsError if the SDK is
    missing."""
    if settings.sentry_dsn is None:
        return
    try:
        import sentry_sdk
    except ImportError:
        raise SettingsError("TALLYBOOK_SENTRY_DSN needs sentry-sdk: pip install 'tallybook[sentry]'") from None
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        traces_sample_rate=_TRACED,
        default_integrations=False,  # they would wrap every query of every loop
        auto_enabling_integrations=False,
    )


def stop() -> None:
    """Send what waits, for two seconds at most."""
    import sys

    if "sentry_sdk" in sys.modules:
        import sentry_sdk

        sentry_sdk.flush(timeout=2.0)
