"""python manage.py create_user ada@example.org"""

from typing import Any

from django.core.management.base import BaseCommand

from shop.users import create_user


class Command(BaseCommand):
    """Create users."""

    def add_arguments(self, parser: Any) -> None:
        """Take e-mail addresses."""
        parser.add_argument("email", nargs="+")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create each user in a transaction of its own."""
        for email in options["email"]:
            self.stdout.write(f"{create_user(email).pk}")
