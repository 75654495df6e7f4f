"""What check mode said, what was done, and what check mode says then; and the README's playbook."""

import yaml

from tests.ansible.conftest import LOCAL, ROOT


def readme_s_playbook(controller, host, replaced=("", "")):
    """`play(argument, …)` of it as it stands there, on one host with these variables."""
    text = (ROOT / "README.md").read_text().partition("## Ansible")[2].partition("```yaml\n")[2]
    text = text.partition("```")[0].replace(*replaced)
    assert len(text.splitlines()) <= 12
    file = controller.directory / "gpus.yml"
    file.write_text(text)
    hosts = {"gpu_hosts": {"hosts": {"host": LOCAL | host}}}
    (controller.directory / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def play(*arguments, **environment):
        """Without the facts of the host, which the playbook does not ask for either."""
        return controller.play(
            file, "-i", "hosts.yml", *arguments, ANSIBLE_GATHERING="explicit", **environment
        )

    return play


def twice(task):
    """Looked at, done, and looked at again."""
    return [{**task, "check_mode": True, "diff": True}, {**task, "diff": True}, {**task, "check_mode": True}]


def without_status(steps):
    return [{key: value for key, value in step.items() if key != "status"} for step in steps]


def is_as_foretold(foretold, done):
    assert not done.get("failed"), done["msg"]
    assert foretold["changed"] and done["changed"], (foretold, done)
    assert without_status(foretold["steps"]) == without_status(done["steps"]) != []
    assert {step["status"] for step in foretold["steps"]} == {"planned"}
    assert {step["status"] for step in done["steps"]} == {"done"}
    assert foretold["diff"] == done["diff"] and done["diff"]["before"] != done["diff"]["after"]
    assert foretold["msg"].replace("would change", "changed") == done["msg"]


def is_done_already(again):
    assert not again["changed"] and again["steps"] == [] and again["msg"] == "nothing to do", again


def triples(results):
    return zip(results[::3], results[1::3], results[2::3], strict=True)
