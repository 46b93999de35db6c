import click
from flask.cli import with_appcontext

from .extensions import db
from .models import User


@click.command("create-admin")
@click.argument("name")
@click.option("--password", envvar="ADMIN_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True)
@with_appcontext
def create_admin(name: str, password: str) -> None:
    """Make an account that can delete everything."""
    if db.session.scalar(db.select(User).filter_by(name=name)):
        raise click.ClickException(f"There is a user {name} already.")
    user = User(name=name, is_admin=True)
    user.set_password(password)
    db.session.add(user)
    db.session.commit()
    click.echo(f"{name} can log in now ✓")
