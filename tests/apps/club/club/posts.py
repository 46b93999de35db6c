from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_login import current_user, login_required

from .extensions import db
from .forms import PostForm
from .models import Post

bp = Blueprint("posts", __name__)


@bp.route("/")
def index():
    posts = db.session.scalars(db.select(Post).order_by(Post.id.desc()))
    return render_template("index.html", posts=posts)


@bp.route("/posts/new", methods=["GET", "POST"])
@login_required
def new():
    form = PostForm()
    if form.validate_on_submit():
        post = Post(title=form.title.data, body=form.body.data, author=current_user)
        db.session.add(post)
        db.session.commit()
        flash("Posted.", "success")
        return redirect(url_for(".show", post_id=post.id))
    return render_template("new.html", form=form)


@bp.route("/posts/<int:post_id>")
def show(post_id: int):
    return render_template("show.html", post=db.get_or_404(Post, post_id))


@bp.post("/posts/<int:post_id>/delete")
@login_required
def delete(post_id: int):
    post = db.get_or_404(Post, post_id)
    if not (current_user.is_admin or post.author == current_user):
        abort(403)
    db.session.delete(post)
    db.session.commit()
    return redirect(url_for(".index"))
