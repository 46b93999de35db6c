"""A student on the host itself: a checkout of bob's own, Ansible over the local connection.

With the newest ansible-core and the one before, which need Python 3.12, and with the oldest that is supported.
"""

from __future__ import annotations

import json

import pytest

from hosted import Checkout, Container

URL = "ocf_flask_url=http://www.example.test/~bob/{name}/"

INTERRUPT = """
import pathlib, signal, subprocess, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)
site = pathlib.Path.home() / "public_html" / "stuck"
run = subprocess.Popen([".venv/bin/ansible-playbook", "deploy.yml", "-e", "site=stuck"], start_new_session=True)
deadline = time.monotonic() + 60
while not (site / ".ocf-flask-new-run.fcgi").exists() and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(1)
run.send_signal(signal.SIGINT)
run.wait(30)
deadline = time.monotonic() + 30
while (site / ".ocf-flask-new-run.fcgi").exists() and time.monotonic() < deadline:
    time.sleep(0.05)
print(*sorted(path.name for path in site.iterdir()))
"""


@pytest.fixture(scope="module", name="checkout")
def _checkout(container: Container) -> Checkout:
    found = Checkout(container, "bob")
    container.shell("rm -rf ~/public_html/*/ ~/.ocf-flask", "bob")
    return found


def test_a_student_deploys_on_the_host_itself(checkout: Checkout) -> None:
    command = f"deploy.yml -e site=mine -e '{URL}'"
    output = checkout.play(command)
    assert "mine is deployed." in output and "changed=1" in output
    assert checkout.container.visit("/~bob/mine/").text == "Hello World!"
    assert "changed=0" in checkout.play(command)


def test_with_the_ansible_between_them_too(container: Container) -> None:
    if container.host != "trixie":
        pytest.skip("ansible-core 2.20 needs Python 3.12")
    checkout = Checkout(container, "bob", home="/var/tmp", ansible="2.20.10")
    assert "[core 2.20.10]" in checkout.play("--version")
    assert "between is deployed." in checkout.play(f"deploy.yml -e site=between -e '{URL}'")
    assert container.visit("/~bob/between/").text == "Hello World!"
    assert "changed=0" in checkout.play(f"deploy.yml -e site=between -e '{URL}'")
    assert "Test now    GET / -> 200" in checkout.play(f"playbooks/status.yml -e site=between -e '{URL}'")


def test_staff_deploy_for_an_owner_on_the_host_itself(checkout: Checkout) -> None:
    listed = json.dumps({"ocf_flask_sites": [{"name": "listed", "owner": "bob"}]})
    command = f"cd {checkout.directory} && .venv/bin/ansible-playbook -i inventory/staff deploy.yml -e '{URL}' -e '{listed}'"
    output = checkout.container.shell(command, "root")
    assert "listed is deployed." in output and "changed=1" in output
    assert checkout.container.visit("/~bob/listed/").text == "Hello World!"
    assert checkout.run("find ~/public_html/ ~/.ocf-flask ! -user bob") == ""


def test_what_stands_in_the_sites_file_holds_for_every_verb(checkout: Checkout) -> None:
    checkout.run("mkdir -p inventory/sites && echo 'ocf_flask_packages: [flask-login]' > inventory/sites/kept.yml")
    assert "flask-login 0.6.3 installed" in checkout.play(f"deploy.yml -e site=kept -e '{URL}'").replace("\n", " ")
    assert "changed=0" in checkout.play(f"deploy.yml -e site=kept -e '{URL}'")
    assert "flask-login 0.6.3" in checkout.play(f"playbooks/status.yml -e site=kept -e '{URL}'")


def test_ctrl_c_in_the_middle_leaves_the_site_as_it_was(checkout: Checkout) -> None:
    checkout.play(f"deploy.yml -e site=stuck -e '{URL}'")
    checkout.run("echo 'import time; time.sleep(1000)' > ~/public_html/stuck/flaskyapplication.py")
    before = checkout.run("cd ~/public_html/stuck && cat run.fcgi .htaccess && readlink venv && ls ~/.ocf-flask/stuck/releases")
    said = checkout.container.shell(f"cd {checkout.directory} && python3 -", "bob", stdin=INTERRUPT).splitlines()
    assert "[ERROR]: User interrupted execution" in said
    assert ".htaccess __pycache__ flaskyapplication.py run.fcgi venv" in said, "what there was, and nothing else"
    assert before == checkout.run("cd ~/public_html/stuck && cat run.fcgi .htaccess && readlink venv && ls ~/.ocf-flask/stuck/releases")
    assert "time.sleep" not in checkout.run("ps -u bob -o args")


def test_installed_as_a_collection_it_works_by_its_full_name(checkout: Checkout) -> None:
    checkout.run("rm -rf build ~/collections && .venv/bin/ansible-galaxy collection build --output-path build")
    checkout.run(".venv/bin/ansible-galaxy collection install --offline --collections-path ~/collections build/*.tar.gz")
    elsewhere = "cd ~ && ANSIBLE_COLLECTIONS_PATH=~/collections"
    output = checkout.run(f"{elsewhere} {checkout.directory}/.venv/bin/ansible-playbook ocf.flask.deploy -e site=packed -e '{URL}'")
    assert "packed is deployed." in output
    assert checkout.container.visit("/~bob/packed/").text == "Hello World!"
    said = checkout.run(f"{elsewhere} {checkout.directory}/.venv/bin/ansible-playbook ocf.flask.status -e site=packed -e '{URL}'")
    assert "Test now    GET / -> 200" in said
