"""The page of fcnn learn without a mouse or a screen: what Chromium tells a screen reader of it."""

import re

import pytest
from test_learn_page import (
    READY,
    VIEWS,
    nothing_to_complain_of,  # noqa: F401 (a fixture)
    page,  # noqa: F401
)

pytestmark = pytest.mark.slow(reason="a browser goes through a view")

# By its own protocol, which Firefox has not.
chromium = pytest.mark.parametrize("page", ["chromium"], indirect=True, scope="module")

CONTROLS = {
    "button", "checkbox", "combobox", "DisclosureTriangle", "link", "listbox", "menuitem", "radio",
    "searchbox", "slider", "spinbutton", "switch", "tab", "textbox", "TextField",
    "ComboBoxSelect", "InputTime",
}  # fmt: skip
# Each view, and what else can be seen in it.
STATES = {
    **{view: (view, wait, {}, "") for view, wait in VIEWS.items()},
    "full, matrices": ("full", "document.querySelector('.matrices') !== null",
                       {"full": {"way": "matrices"}}, ""),
    "full, played": ("full", READY, {}, "document.getElementById('next').click()"),
    "check, broken": ("check", "document.querySelector('.verdict.wrong') !== null",
                      {"check": {"broken": "sigma"}}, ""),
    "digits": ("playground", "document.querySelectorAll('.bar').length === 10",
               {"playground": {"data": "digits", "hidden": [8]}}, ""),
    "csv": ("playground", "document.getElementById('in-csv') !== null",
            {"playground": {"data": "csv"}}, ""),
}  # fmt: skip


def accessible(browser):
    """Return role, name, whether it takes the keyboard, and the DOM's node of all that is told."""
    found = []
    for node in browser.send("Accessibility.getFullAXTree")["nodes"]:
        if node["ignored"]:
            continue
        values = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
        found.append((
            node["role"]["value"], node.get("name", {}).get("value", ""),
            bool(values.get("focusable")), node.get("backendDOMNodeId"),
        ))  # fmt: skip
    return found


def opened(page, state):  # noqa: F811
    view, wait, given, then = STATES[state]
    browser = page(view, wait=wait, **given)
    if then:
        browser.run(then)
        browser.wait("document.querySelector('.caption') !== null")
    return browser


@chromium
@pytest.mark.parametrize("state", STATES)
def test_all_that_can_be_used_has_a_name_and_the_keyboard(page, state):  # noqa: F811
    browser = opened(page, state)
    tree = accessible(browser)
    used = [one for one in tree if one[0] in CONTROLS
            or (one[2] and one[0] not in ("RootWebArea", "option"))]  # fmt: skip
    assert sum(role == "tab" for role, *_ in used) == 6
    assert len(used) > 10
    # Of letters or digits: a reader of a screen says an arrow's name, or nothing.
    assert [one for one in used if not re.search(r"[^\W_]", one[1])] == []
    # A focusable element that is nothing in particular is told without a word of what it is for.
    assert [one for one in used if one[0] in ("generic", "none", "Pre", "pre", "paragraph")] == []
    pictures = [one for one in tree if one[0] in ("image", "img", "graphics-document", "Canvas")]
    assert [one for one in pictures if not one[1]] == []
    headings = [name for role, name, *_ in tree if role == "heading"]
    assert headings[0] == "Backpropagation"
    assert all(headings)
    # Two controls of one kind are told apart by their names, but for a node's formulas, which are
    # played beside those of the node that is chosen.
    own = {"full, played": ("DisclosureTriangle", "group")}.get(state, ())
    names = [(role, name) for role, name, *_ in used if role not in own]
    assert sorted({one for one in names if names.count(one) > 1}) == []
    check_the_tab_key(browser)


def check_the_tab_key(browser):
    """It reaches all that can be used, and where it is can be seen."""
    mark = "(document.activeElement.dataset.seen = '1', document.activeElement.tagName)"
    wanted = """[...document.querySelectorAll('button, input, select, textarea, summary, ' +
      '[tabindex], a[href], [role=button], [role=tab]')].filter((one) => one.tabIndex >= 0
      && !one.disabled && one.checkVisibility())"""
    count = browser.run(f"{wanted}.length")
    browser.run("document.activeElement.blur()")
    for _ in range(count + 2):
        browser.key("Tab")
        browser.run(mark)
    left = browser.run(f"{wanted}.filter((one) => !one.dataset.seen)"
                       ".map((one) => one.outerHTML.slice(0, 100))")  # fmt: skip
    assert left == []
    # The place of the keyboard is seen, on what is chosen, too.
    plain = browser.run(f"""{wanted}.map((one) => {{
      const look = () => [one, ...one.querySelectorAll('.rim, .hit')].map((part) => {{
        const {{ outline, stroke, strokeDasharray }} = getComputedStyle(part);
        return outline + stroke + strokeDasharray;
      }}).join();
      document.activeElement.blur();
      const before = look();
      one.focus();
      return before === look() ? one.outerHTML.slice(0, 100) : null;
    }}).filter(Boolean)""")
    assert plain == []
