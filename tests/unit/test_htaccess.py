"""A user's .htaccess and our block in it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from ocf_flask import htaccess
from ocf_flask.errors import SiteError

BLOCK = b"SetHandler fcgid-script\nRewriteEngine On\nRewriteRule ^ - [END]\n"
OURS = htaccess.BEGIN + b"\n" + BLOCK + htaccess.END + b"\n"
RECIPE = (
    b"RewriteEngine On\n"
    b"RewriteBase /\n"
    b"RewriteCond %{REQUEST_FILENAME} !-f\n"
    b"RewriteRule ^(.*)$ /~username/flasky/run.fcgi/$1 [QSA,L]\n"
)  # fmt: skip

# What users write, odd line ends and bytes that are no text included; no marker and no recipe.
_LINE = st.one_of(
    st.sampled_from(
        [
            b"AuthType Basic", b"Require valid-user", b"# caf\xe9", b"", b"RewriteEngine On", b"RewriteBase /", b"\tDeny from all  ",
            b"RewriteRule ^old$ /new [R]", b"RewriteCond %{HTTPS} off", b"# BEGINNER ocf_flasky", b"foo \\", b"a\rb", b"\xff\xfe\x00", b"<If true>",
        ]
    ),
    st.binary(max_size=12).filter(lambda line: b"\n" not in line and b"ocf_flask" not in line),
)  # fmt: skip
_FILE = st.builds(
    lambda lines, end, last: end.join(lines) + (end if last else b""),
    st.lists(_LINE, max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)


HEADER = b"Header set X y\n"


def merged(present: bytes) -> bytes:
    return htaccess.merge(present, BLOCK).content


def test_a_new_file_is_our_block() -> None:
    assert merged(b"") == OURS


@limits(max_examples=150, deadline=None)
@given(_FILE)
@example(b"a\r")
@example(b"Redirect /a \\\n")
def test_what_the_user_wrote_stays_byte_for_byte(present: bytes) -> None:
    content = merged(present)
    assert content.startswith(present)
    # A line that was not ended is ended; one that goes on in the next is.
    assert content[len(present) :] in (OURS, b"\n" + OURS, b"\n\n" + OURS)


@limits(max_examples=150, deadline=None)
@given(_FILE, _FILE, st.booleans())
def test_merging_twice_is_merging_once(above: bytes, below: bytes, recipe: bool) -> None:
    once = merged(above + (b"\n" + RECIPE if recipe else b"") + below)
    assert merged(once) == once
    assert once.count(htaccess.BEGIN) == 1


@limits(max_examples=100, deadline=None)
@given(_FILE, _FILE, st.binary(max_size=30))
def test_a_new_block_stands_where_the_old_one_stood(above: bytes, below: bytes, other: bytes) -> None:
    first = htaccess.merge(above, b"Old directive\n").content
    content = htaccess.merge(first + below, BLOCK).content
    assert content == first[: first.index(htaccess.BEGIN)] + OURS + below


@limits(max_examples=100, deadline=None)
@given(_FILE, _FILE)
def test_removing_the_block_leaves_what_the_user_wrote(above: bytes, below: bytes) -> None:
    first = merged(above)
    assert htaccess.remove(first + below) == first[: first.index(htaccess.BEGIN)] + below


def test_our_directives_can_be_read_back() -> None:
    assert htaccess.block_of(b"a\n" + OURS + b"b\n") == BLOCK
    assert htaccess.block_of(b"a\n") is None
    assert htaccess.block_of(OURS + OURS) is None


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        RECIPE.replace(b"\n", b"\r\n"),
        RECIPE.rstrip(b"\n"),
        RECIPE.lower().replace(b"%{request_filename}", b"%{REQUEST_FILENAME}"),
        RECIPE.upper().replace(b"RUN.FCGI", b"run.fcgi"),
        RECIPE.replace(b" ", b"   \t"),
        b"".join(b"    " + line + b"  \n" for line in RECIPE.splitlines()),
        RECIPE.replace(b"\n", b"\n\n"),
        RECIPE.replace(b"RewriteBase /\n", b""),
        RECIPE.replace(b"RewriteBase /", b"RewriteBase /~alice/flasky/"),
        RECIPE.replace(b"RewriteEngine On\nRewriteBase /\n", b"RewriteBase /\nRewriteEngine On\n"),
        RECIPE.replace(b" [QSA,L]", b""),
        RECIPE.replace(b"/~username/flasky/", b""),
        RECIPE.replace(b"!-f\n", b"!-f\nRewriteCond %{REQUEST_FILENAME} !-d\n"),
        RECIPE + RECIPE,
    ],
)  # fmt: skip
def test_the_recipes_lines_are_replaced_whatever_their_case_and_blanks(recipe: bytes) -> None:
    found = htaccess.merge(b"AuthType Basic\n" + recipe + (b"" if recipe.endswith(b"\n") else b"\n") + b"ErrorDocument 404 /x\n", BLOCK)
    left = found.content.replace(OURS, b"@\n")
    assert [line for line in left.split(b"\n") if line.strip()] == [b"AuthType Basic", b"@", b"ErrorDocument 404 /x"]
    assert len(found.replaced) == len([line for line in recipe.splitlines() if line.strip()])
    assert found.taking == ()


@pytest.mark.parametrize(
    "line",
    [
        b"RewriteRule ^(.*)$ run.fcgi/$1 [QSA,L]", b"RewriteRule ^ run.fcgi/%{REQUEST_URI} [L]", b"RewriteRule .* run.fcgi/$0 [L]",
        b"RewriteRule ^$ run.fcgi [L]", b'RewriteRule "^(.*)$" "/~alice/flasky/run.fcgi/$1" [QSA,L]', b"RewriteRule .* run.fcgi",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "condition",
    [
        b"", b"RewriteCond %{REQUEST_FILENAME} !-f\n", b"RewriteCond %{SCRIPT_FILENAME} !-d\n", b"RewriteCond %{REQUEST_FILENAME} !-l\n",
        b"RewriteCond %{REQUEST_FILENAME} !-s\n", b"RewriteCond %{REQUEST_URI} !^/static\n", b"RewriteCond %{REQUEST_URI} !run\\.fcgi\n",
        b"RewriteCond %{ENV:REDIRECT_STATUS} ^$\n",
    ],
)  # fmt: skip
def test_the_rules_of_other_recipes_are_known_too(condition: bytes, line: bytes) -> None:
    found = htaccess.merge(HEADER + b"RewriteEngine On\n" + condition + line + b"\nDirectoryIndex run.fcgi\n", BLOCK)
    assert found.content.replace(OURS, b"") == HEADER and found.taking == ()


@pytest.mark.parametrize(
    "line", [b"RewriteRule ^api/(.*)$ run.fcgi/$1 [L]", b"RewriteRule ^(.*)$ other.fcgi/$1 [L]", b"RewriteRule ^(.*)$ run.fcgi.old [L]"]
)
def test_a_rule_for_some_urls_or_another_program_stays(line: bytes) -> None:
    assert htaccess.merge(line + b"\n", BLOCK).content == line + b"\n" + OURS


def test_a_comment_between_the_recipes_lines_stays() -> None:
    content = merged(RECIPE.replace(b"RewriteCond", b"# not for files\nRewriteCond"))
    assert content == OURS + b"# not for files\n"


def test_no_condition_of_the_recipe_is_left_to_hold_for_our_rule() -> None:
    assert b"!-f" not in merged(RECIPE.replace(b"!-f\n", b"!-f\n\n# the app\n\n"))


@pytest.mark.parametrize(
    "user",
    [
        b"RewriteEngine On\nRewriteRule ^old$ /new [R,L]\n",
        b"RewriteEngine On\nRewriteBase /\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)$ index.php/$1 [L]\n",
        RECIPE.replace(b"RewriteRule", b"RewriteCond %{HTTPS} on\nRewriteRule"),
        b"#" + RECIPE.splitlines()[-1] + b"\n",
    ],
)
def test_rules_that_are_not_the_recipes_stay(user: bytes) -> None:
    found = htaccess.merge(user, BLOCK)
    assert found.content == user + OURS
    assert found.replaced == ()


def test_the_recipe_below_our_block_goes_too() -> None:
    found = htaccess.merge(OURS + b"Require all granted\n" + RECIPE, BLOCK)
    assert found.content == OURS + b"Require all granted\n"
    assert len(found.replaced) == 4


@pytest.mark.parametrize(
    "line",
    [
        "RewriteRule ^x$ /y [R]", "  redirect /a /b", "RedirectMatch 301 ^/a /b", "SetHandler None", "AddHandler cgi-script .py",
        "DirectoryIndex index.html", "FallbackResource /x", "RewriteEngine off", "FcgidWrapper /x .fcgi", "ForceType text/plain",
        "RedirectPermanent /a /b", "RedirectTemp /a /b", "Action text/html /x", "Script PUT /x", "DirectorySlash Off", "RemoveHandler .py",
        "RewriteOptions Inherit",
    ],
)  # fmt: skip
def test_a_rule_that_takes_requests_from_the_app_is_named_with_its_line(line: str) -> None:
    assert htaccess.merge(b"AuthType Basic\n" + line.encode() + b"\r\n", BLOCK).taking == (f"line 2: {line.strip()}",)
    end = 2 + OURS.count(b"\n")
    assert htaccess.merge(b"AuthType Basic\n" + OURS + line.encode(), BLOCK).taking == (f"line {end}: {line.strip()}",)


@pytest.mark.parametrize(
    "line",
    [
        "AuthType Basic",
        "ErrorDocument 404 /x",
        "# Redirect /a /b",
        "Header set X SetHandler",
        "Require valid-user",
        "RewriteEngine On",
        "Scripted x",
    ],
)
def test_other_directives_are_not_complained_about(line: str) -> None:
    assert htaccess.merge(line.encode(), BLOCK).taking == ()


@pytest.mark.parametrize(
    ("present", "said"),
    [
        (
            b"a\n" + htaccess.BEGIN + b"\nb\n",
            "has 1 line '# BEGIN ocf_flask' (line 2) and no lines '# END ocf_flask', and should have one pair",
        ),
        (htaccess.END + b"\n", "has no lines '# BEGIN ocf_flask' and 1 line '# END ocf_flask' (line 1)"),
        (OURS + OURS, "2 lines '# BEGIN ocf_flask' (line 1, 6)"),
        (htaccess.END + b"\n" + htaccess.BEGIN + b"\n", "1 line '# BEGIN ocf_flask' (line 2) and 1 line '# END ocf_flask' (line 1)"),
    ],
)
def test_broken_marker_lines_are_refused_and_nobody_guesses_whose_lines_are_whose(present: bytes, said: str) -> None:
    for act in (merged, htaccess.remove):
        with pytest.raises(SiteError) as caught:
            act(present)
        assert said in caught.value.message
        assert "Delete the marker lines and our lines between them, keep your own, then deploy again" in caught.value.message


def test_a_line_that_goes_on_in_the_next_does_not_swallow_our_first() -> None:
    assert merged(b"Redirect /a \\\n") == b"Redirect /a \\\n\n" + OURS
    assert merged(b"Redirect /a \\") == b"Redirect /a \\\n\n" + OURS
    assert merged(b"Redirect /a \\\r\n") == b"Redirect /a \\\r\n\n" + OURS
    # Only at its very end does a backslash have Apache read on.
    for ended in (b"Redirect /a \\ \n", b"Redirect /a \\X\n"):
        assert merged(ended) == ended + OURS


def test_of_our_block_only_its_last_line_end_is_ours() -> None:
    content = htaccess.merge(b"", b"Header set X-Y X\t\n\n").content
    assert htaccess.block_of(content) == b"Header set X-Y X\t\n"


IF = b"<IfModule mod_rewrite.c>\n"
FI = b"</IfModule>\n"
ONE_LINE = b"RewriteRule ^(.*)$ run.fcgi/$1 [L]\n"


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        (HEADER + IF + RECIPE + FI + HEADER, HEADER + b"@" + HEADER),
        (HEADER + IF + ONE_LINE + FI, HEADER + b"@"),
        (IF + b"\n" + RECIPE.replace(b"\n", b"\n \n") + FI.upper(), b"@\n" + b" \n" * 4),
        (IF + RECIPE + FI + IF + RECIPE.replace(b"RewriteBase /\n", b"") + FI + HEADER, b"@" + HEADER),
        # Around something that stays, so does the section, and ours holds outside of it.
        (IF + HEADER + ONE_LINE + FI + HEADER, IF + HEADER + FI + b"@" + HEADER),
        (IF + RECIPE + HEADER + FI, IF + HEADER + FI + b"@"),
        (IF + IF + RECIPE + HEADER + FI + HEADER + FI + HEADER, IF + IF + HEADER + FI + HEADER + FI + b"@" + HEADER),
        (IF + HEADER + FI + RECIPE + HEADER, IF + HEADER + FI + b"@" + HEADER),
        (b"<IfModule a>\n<Files b>\n" + RECIPE + HEADER + b"</Files>\n" + FI, b"<IfModule a>\n<Files b>\n" + HEADER + b"</Files>\n" + FI + b"@"),
        # One that was empty before is the user's, and so is one that nothing ends.
        (RECIPE + IF + FI, b"@" + IF + FI),
        (IF + FI + RECIPE, IF + FI + b"@"),
        (IF + RECIPE, IF + b"@"),
    ],
)  # fmt: skip
def test_a_section_around_the_recipe_goes_with_it(present: bytes, expected: bytes) -> None:
    assert merged(present).replace(OURS, b"@") == expected


@pytest.mark.parametrize(
    ("above", "replaced"),
    [
        (b"RewriteEngine On\n" + HEADER, ["RewriteRule"]),
        (b"RewriteEngine On\nRewriteEngine On\n", ["RewriteEngine", "RewriteRule"]),
        (b"AddHandler fcgid-script .fcgi\nRewriteEngine On\nOptions +ExecCGI\n", ["AddHandler", "RewriteEngine", "Options", "RewriteRule"]),
    ],
)
def test_above_the_recipes_rule_each_line_is_its_own_once(above: bytes, replaced: list[str]) -> None:
    found = htaccess.merge(above + ONE_LINE, BLOCK)
    assert [line.split()[0] for line in found.replaced] == replaced
    assert found.content == b"".join((above + ONE_LINE).splitlines(keepends=True)[: -len(replaced)]) + OURS


def test_what_stands_below_the_recipes_rule_is_not_its_own() -> None:
    found = htaccess.merge(ONE_LINE + b"RewriteEngine On\n", BLOCK)
    assert (found.content, len(found.replaced)) == (OURS + b"RewriteEngine On\n", 1)


def test_lines_that_are_no_text_are_named_as_well_as_can_be() -> None:
    assert htaccess.merge(b"RewriteBase /caf\xe9\n" + ONE_LINE, BLOCK).replaced[0] == "RewriteBase /caf\ufffd"
    assert htaccess.merge(b"Redirect /caf\xe9 /x\n", BLOCK).taking == ("line 1: Redirect /caf\ufffd /x",)


@pytest.mark.parametrize(
    ("present", "serves"),
    [
        (RECIPE, True),
        (RECIPE.replace(b"!-f", b"!-d"), False),
        (ONE_LINE, False),
        (b"AddHandler fcgid-script .fcgi\n" + ONE_LINE, False),
        # Its pages are below run.fcgi/.
        (b"AddHandler fcgid-script .fcgi\n", True),
        (b"", True),
    ],
)
def test_a_site_made_by_hand_serves_files_unless_its_rule_takes_them(present: bytes, serves: bool) -> None:
    assert htaccess.serves_files(present) is serves


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        (b'AuthUserFile "/home/a/al/alice/.htpasswd"', ["/home/a/al/alice/.htpasswd"]),
        (b"  authdigestfile /caf\xe9", ["/caf\udce9"]),
        (b"Require expr \"file('/etc/a') == file(/etc/b)\"", ["/etc/a", "/etc/b"]),
        (b"AuthName /x", []),
        (b"# AuthUserFile /x", []),
        (b"  # my settings file: /home/alice/.env", []),
        (b'AuthUserFile "/home/alice/my users"', ["/home/alice/my users"]),
        (b"AuthUserFile '/home/alice/my users'", ["/home/alice/my users"]),
        (b"AuthUserFile \\\n  /home/alice/.htpasswd", ["/home/alice/.htpasswd"]),
        (b"AuthUserFile \\\r\n  /home/alice/.htpasswd", ["/home/alice/.htpasswd"]),
        (b"LuaHookAccessChecker /home/alice/check.lua check", ["/home/alice/check.lua"]),
    ],
)
def test_the_files_that_the_web_server_is_to_read_are_known(line: bytes, paths: list[str]) -> None:
    assert htaccess.files_read(HEADER + line + b"\n") == paths
