"""What check mode said, what was done, and what check mode says then."""


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
