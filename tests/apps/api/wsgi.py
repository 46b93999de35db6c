"""The API as web servers take it."""

from todo_api import create_app

application = create_app()
