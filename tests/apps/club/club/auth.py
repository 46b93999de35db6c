from urllib.parse import urlsplit

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask_login import current_user, login_user, logout_user

from .extensions import db
from .forms import LoginForm
from .models import User

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.route("/login", methods=["GET", "POST"])
def login():
    if current_user.is_authenticated:
        return redirect(url_for("posts.index"))
    form = LoginForm()
    if form.validate_on_submit():
        user = db.session.scalar(db.select(User).filter_by(name=form.name.data))
        if user is not None and user.has_password(form.password.data):
            login_user(user, remember=form.remember.data)
            current_app.logger.info("%s has logged in", user.name)
            wanted = request.args.get("next", "")
            if not wanted or urlsplit(wanted).netloc:
                wanted = url_for("posts.index")
            return redirect(wanted)
        current_app.logger.warning("wrong password for %r", form.name.data)
        flash("Name or password are wrong.", "error")
    return render_template("login.html", form=form)


@bp.post("/logout")
def logout():
    logout_user()
    return redirect(url_for("posts.index"))
